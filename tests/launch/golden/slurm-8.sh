#!/bin/bash
#SBATCH --job-name=fec
#SBATCH --ntasks=8
#SBATCH --cpus-per-task=4
#SBATCH --mem-per-cpu=4096M
#SBATCH --time=10080
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --chdir=/home/user
#SBATCH --output=/runs/fec/launch/lives/batch.log
#SBATCH --gpus-per-task=h100:8
#SBATCH --qos=high

srun --kill-on-bad-exit=1 --distribution=block /venv/bin/python -m launch.slurm_step task /runs/fec/launch/lives -- /venv/bin/python -m trainer train --config=fec_triplet --data=/data/fec --workdir=/runs/fec
exec /venv/bin/python -m launch.slurm_step end /runs/fec/launch/lives 3 1800000000
