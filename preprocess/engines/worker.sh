#!/bin/sh
# What Flink starts as a worker process: it takes one executable and adds arguments.
exec "${SHARDLINE_PYTHON:-python3}" -m preprocess.engines.worker "$@"
