"""Checks before a run is submitted: would it start, and could it write?

`result.py` is the result of a check, `room.py` decides whether the nodes could ever hold the
workers, `cluster.py` checks what must exist, `image.py` asks a registry, `storage.py` tests the run
directory, `everything.py` orders them. Each takes seconds, and changes nothing.
"""
