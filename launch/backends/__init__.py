"""Starts rendered runs and watches them: on this machine, through an API server, with Slurm."""
