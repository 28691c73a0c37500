"""Who runs the shards: Beam on this machine, on Flink, on a cluster's workers.

beam_job.py is a thin shell around shards.build_shard; engine.py and engine_setup.py turn an address
into Beam's options; worker.py is the process that a runner starts. Imports shards and storage, and
alone imports Beam. Start reading at beam_job.py.
"""
