#!/bin/sh
# What Flink and Spark start as a worker process: they take one executable and add arguments.
exec "${SHARDLINE_PYTHON:-python3}" -m preprocess.worker "$@"
