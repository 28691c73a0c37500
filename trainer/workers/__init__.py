"""Replicas and processes: devices, cluster, barrier, watchdog, signals, the supervisor.

Nothing here knows what is trained. Imports config, compat, monitoring and the order of records.
Start reading at cluster.py (who takes part), then supervisor/ (starting and restarting workers).
"""
