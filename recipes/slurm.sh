#!/usr/bin/env bash
#SBATCH --job-name=permix
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --exclusive
# Run a recipe on the nodes of a SLURM job, on a Ray cluster for the duration of the job.
#
#   sbatch --nodes=2 recipes/slurm.sh run_permix_grpo.sh                      # MODEL=... and other knobs in front
#   sbatch --nodes=4 --time=24:00:00 recipes/slurm.sh run_rlvr_grpo.sh actor_rollout_ref.rollout.n=16
#
# Submit it from the project's folder, on a file system shared by all nodes (for the environment, the checkpoints and the
# initial adapter). A requeued job resumes from the last checkpoint. Not run on a SLURM cluster yet: docs/training.md.
set -euo pipefail
if [[ -z ${SLURM_JOB_NODELIST:-} ]]; then
  echo "error: not in a SLURM job; submit it: sbatch --nodes=2 recipes/slurm.sh run_permix_grpo.sh" >&2
  exit 2
fi
REPO=${SLURM_SUBMIT_DIR:-$PWD}
RECIPE=${1:-run_permix_grpo.sh}
[[ $# == 0 ]] || shift
if [[ ! -f $REPO/recipes/$RECIPE ]]; then
  echo "error: no recipe $REPO/recipes/$RECIPE; submit from the project's folder, and name one of recipes/run_*_grpo.sh" >&2
  exit 2
fi
source "$REPO/recipes/setup_env.sh"   # PYTHON: once, before the nodes need it
PORT=${PORT:-6379}
RAY=("$PYTHON" -m ray.scripts.scripts)

mapfile -t NODES < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
FIRST=${NODES[0]}
# One token for all processes of the cluster, in the environment, which srun passes on.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$("$PYTHON" -c 'import secrets; print(secrets.token_hex(32))')

STEPS=()
end_cluster() {
  kill "${STEPS[@]}" 2>/dev/null || true   # each srun ends its own processes
  wait
}
trap end_cluster EXIT

# Wait until a command succeeds; end the job if a Ray node stops before that.
wait_for() {
  local waited
  for (( waited = 0; waited < ${RAY_WAIT_SECONDS:-300}; waited += 2 )); do
    "$@" && return
    for step in "${STEPS[@]}"; do
      kill -0 "$step" 2>/dev/null || { echo "error: Ray did not start on one of ${NODES[*]}; see above" >&2; exit 1; }
    done
    sleep 2
  done
  echo "error: waited $waited s for $*; are Ray's ports open between ${NODES[*]}?" >&2
  exit 1
}
first_answers() { (: <"/dev/tcp/$FIRST/$PORT") 2>/dev/null; }
all_are_there() {
  local alive
  alive=$("$PYTHON" -c 'import ray, sys
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
print(sum(node["Alive"] for node in ray.nodes()))' "$FIRST:$PORT" 2>/dev/null) || return 1
  (( alive >= ${#NODES[@]} ))
}

echo "Ray on ${#NODES[@]} nodes, the first of them $FIRST:$PORT"
srun --nodes=1 --ntasks=1 --nodelist="$FIRST" "${RAY[@]}" start --head --node-ip-address="$FIRST" --port="$PORT" --block &
STEPS+=($!)
wait_for first_answers
for node in "${NODES[@]:1}"; do
  srun --nodes=1 --ntasks=1 --nodelist="$node" "${RAY[@]}" start --address="$FIRST:$PORT" --block &
  STEPS+=($!)
done
wait_for all_are_there

RAY_ADDRESS=$FIRST:$PORT NNODES=${#NODES[@]} bash "$REPO/recipes/$RECIPE" "$@"
