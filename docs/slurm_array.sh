#!/usr/bin/env bash
# A cohort as a Slurm job array: sbatch docs/slurm_array.sh manifest.csv out
# Every task screens its own share of the slides; the last step, `wsiamf cohort collect`, is a job of its own (docs/cohort.md).
#SBATCH --job-name=wsiamf
#SBATCH --array=1-8
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=08:00:00
#SBATCH --output=wsiamf-%A_%a.log
set -euo pipefail
manifest=$1
out=$2
# the environment that wsiamf is installed in:
# source /path/to/venv/bin/activate
exec wsiamf cohort "$manifest" --out "$out" \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
    --threads-per-worker "${SLURM_CPUS_PER_TASK:-1}"
