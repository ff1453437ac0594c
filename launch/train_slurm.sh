#!/usr/bin/env bash
# Trains on the GPUs of many machines, a process for each GPU:
#
#   sbatch --nodes=4 launch/train_slurm.sh adam16 [--config.batch_size=64 ...]
#
# Before its time is over SLURM sends SIGUSR1: the run saves and ends, and is
# put back in the queue, to go on from there. After scancel, which sends
# SIGTERM, it saves and ends.
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?start me with sbatch}"
config=${1:?give the name of a file under configs/, such as adam16}
shift
status=0
# JAX finds the other processes, and the GPU of each, in SLURM's variables.
srun --kill-on-bad-exit=1 python -m hg_jax.main \
  --config="configs/$config.py" "$@" || status=$?
# 128 + 10: ended by SIGUSR1, with everything saved.
if [ "$status" = 138 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
