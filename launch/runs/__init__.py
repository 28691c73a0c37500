"""What this machine knows about a started run: its record, logs, progress, orders.

These are files in the user's state folder; no cluster is asked here.
Start reading at records.py.
"""
