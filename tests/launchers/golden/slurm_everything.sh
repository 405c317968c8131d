#!/bin/bash
#SBATCH --job-name=honed-it-s-ready
#SBATCH --array=0-15%4
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=6
#SBATCH --gpus-per-node=2
#SBATCH --mem=64G
#SBATCH --time=36:01:30
#SBATCH --signal=B:USR1@300
#SBATCH --partition=gpu,long
#SBATCH --account=lab-7
#SBATCH --nodelist=node7
#SBATCH --output=honed-it-s-ready-%A_%a.log
#SBATCH --open-mode=append
#SBATCH --no-requeue

: "${HONED_STORAGE:?export HONED_STORAGE with the address of the storage, then submit}"
module load cuda/12.4
source env/bin/activate

# The worker ends by itself when only the grace is left.
left=$((129390 - SECONDS))
if [ -n "${SLURM_JOB_END_TIME:-}" ]; then
    left=$((SLURM_JOB_END_TIME - $(date +%s) - 300))
fi

is_cancelled= worker=
trap 'kill -s USR1 "$worker"' USR1
# scancel, or a pre-emption after which Slurm itself queues the job again
trap 'is_cancelled=1; kill -s TERM "$worker"' TERM

/opt/env/bin/python -m honed launch worker train.py '--study=it'"'"'s ready' --trials=100 --grace=290 --timeout="$((left > 1 ? left : 1))" -- --sampler random --metric 'val loss' &
worker=$!
while kill -0 "$worker" 2>/dev/null; do
    wait "$worker"  # a signal ends this wait, not the worker
done
wait "$worker"
code=$?
exit "$code"
