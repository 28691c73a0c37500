#!/bin/bash
#SBATCH --job-name=fec
#SBATCH --ntasks=2
#SBATCH --cpus-per-task=7
#SBATCH --mem-per-cpu=4096M
#SBATCH --time=10080
#SBATCH --signal=TERM@180
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --chdir=/home/user
#SBATCH --output=/runs/fec/lives/batch.log

export SHARDLINE_HOW_TO_FOLLOW='`launch logs fec --rank=follower` shows why'
/venv/bin/python -m launch.supervisor.follower_process --attempts=/runs/fec/lives -- /venv/bin/python -m preprocess follow --run=/runs/fec --workers=3 '--recipe=a b' /data/fec &
follower=$!
srun --kill-on-bad-exit=0 --wait=120 --distribution=block --cpus-per-task=4 /venv/bin/python -m launch.supervisor.slurm_step task --attempts=/runs/fec/lives --first_attempt=0 --grace=120 -- /venv/bin/python -m trainer train --config=fec_triplet --data=/data/fec --workdir=/runs/fec
kill "$follower"
exec /venv/bin/python -m launch.supervisor.slurm_step end --attempts=/runs/fec/lives --first_attempt=0 --max_restarts=3 --until=1800000000
