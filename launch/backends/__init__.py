"""What starts a rendered run and watches it: this machine, an API server, Slurm."""
