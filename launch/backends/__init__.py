"""Starts rendered runs and watches them: on this machine, through an API server, with Slurm.

base.py is the interface of all, kinds/ the table of them; cluster.py and its parts are Kubernetes.
Imports render, runs and supervisor; commands and checks are above it. Start reading at base.py.
"""
