"""Keeping a group of worker processes running: restarts, budgets, and what ends a run.

restart_policy.py decides what follows when workers end, in the same way for `train
--local_workers`, `launch --backend=local` and Slurm; Kubernetes manifests are derived from the same
table. local_group.py is a group on this machine. Does not import TensorFlow: launch imports this.
"""
