"""Keeping a group of worker processes running: restarts, budgets, and what ends a run.

restart_policy.py says what follows how workers ended, the same for `train --local_workers`,
`launch --backend=local` and Slurm; manifests for Kubernetes are derived from the same table.
local_group.py is a group on this machine. Without TensorFlow: launch imports this room.
"""
