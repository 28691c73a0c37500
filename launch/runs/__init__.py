"""What is known of a started run: its record, logs, progress, orders.

Files of the user's state folder; no cluster is asked here.
Start reading at records.py.
"""
