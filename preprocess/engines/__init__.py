"""Who runs the shards: Beam on this machine, on Flink, on a cluster's workers.

beam_job is a thin shell around shards.build_shard; engine and engine_setup turn an address into
Beam's options; worker is the process that a runner starts.
Start reading at beam_job.py.
"""
