"""What this machine knows about a started run: its record, logs, progress, orders.

These are files in the user's state folder; no cluster is asked here. Imports launch/spec.py,
launch/own_files.py and the trainer's account of a run's time. Start reading at records.py.
"""
