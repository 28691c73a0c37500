#!/bin/bash
#SBATCH --job-name=fec
#SBATCH --ntasks=8
#SBATCH --cpus-per-task=4
#SBATCH --mem-per-cpu=4096M
#SBATCH --time=10080
#SBATCH --signal=TERM@180
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --chdir=/home/user
#SBATCH --output=/runs/fec/lives/batch.log
#SBATCH --gpus-per-task=h100:8
#SBATCH --qos=high

srun --kill-on-bad-exit=0 --wait=120 --distribution=block --cpus-per-task=4 /venv/bin/python -m launch.supervisor.slurm_step task --attempts=/runs/fec/lives --first_attempt=0 --grace=120 -- /venv/bin/python -m trainer train --config=fec_triplet --data=/data/fec --workdir=/runs/fec
exec /venv/bin/python -m launch.supervisor.slurm_step end --attempts=/runs/fec/lives --first_attempt=0 --max_restarts=3 --until=1800000000
