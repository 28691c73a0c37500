"""Checks before a run is submitted: would it start, and could it write?

result.py is the result of a check, room.py decides whether the nodes could ever hold the workers,
cluster_checks.py what must exist, image.py asks a registry, storage.py tests the run directory,
following.py a follower's recipe. Each takes seconds, and changes nothing. Imports backends, render
and runs. Start reading at everything.py, which orders them.
"""
