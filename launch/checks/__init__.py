"""What can be known before a run is submitted: would it start, and could it write?

`result.py` is what a check says, `room.py` whether the nodes could ever hold the workers,
`cluster.py` what has to be there, `image.py` asks a registry, `storage.py` tries the run
directory, `everything.py` puts them in order. Each takes seconds, and changes nothing.
"""
