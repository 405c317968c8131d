#!/bin/bash
#SBATCH --job-name=honed-mnist
#SBATCH --array=0-7
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --time=4:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --output=honed-mnist-%A_%a.log
#SBATCH --open-mode=append
#SBATCH --requeue

export HONED_STORAGE=http://login1:8484

# The worker ends by itself when only the grace is left.
left=$((14280 - SECONDS))
if [ -n "${SLURM_JOB_END_TIME:-}" ]; then
    left=$((SLURM_JOB_END_TIME - $(date +%s) - 120))
fi

is_cancelled= worker=
trap 'kill -s USR1 "$worker"' USR1
# scancel, or a pre-emption after which Slurm itself queues the job again
trap 'is_cancelled=1; kill -s TERM "$worker"' TERM

/opt/env/bin/python -m honed launch worker train.py --study=mnist --trials=100 --grace=110 --timeout="$((left > 1 ? left : 1))" &
worker=$!
while kill -0 "$worker" 2>/dev/null; do
    wait "$worker"  # a signal ends this wait, not the worker
done
wait "$worker"
code=$?
if [ "$code" -eq 75 ] && [ -z "$is_cancelled" ]; then
    scontrol requeue "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}" && exit 0
fi
exit "$code"
