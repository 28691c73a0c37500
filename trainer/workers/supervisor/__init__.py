"""Keeping a group of worker processes running: restarts, budgets, and what ends a run.

restart_policy.py decides what follows when workers end, in the same way for `train
--local_workers`, `launch --backend=local` and Slurm; Kubernetes manifests are derived from the same
table. local_group.py is a group on this machine. Imports the shell and memory readings, never
TensorFlow: launch imports this. Start reading at restart_policy.py.
"""
