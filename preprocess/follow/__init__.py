"""`preprocess follow`: builds the variants of a training's next passes while it trains.

window.py says what to build and what to remove, from the pass that a training is in;
run_position.py reads that pass from RUN; live_store.py is what lies below DATASET/live, earlier.py
what to do with that of an earlier follower; base_watch.py and worker_count.py are what the loop
looks up. Imports build, shards, augment and storage. Start reading at follower.py.
"""
