#!/usr/bin/env bash
# All checks: lint, types, the fast tests (2 minutes), the integration tests (4) and the end-to-end runs (30, on two cores).
#
#   bash tests/run.sh          # everything
#   bash tests/run.sh fast     # lint, types and the fast tests
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ ${PERMIX_SKIP_SETUP:-0} == 1 ]]; then
  PYTHON=${PYTHON:-python3}
else
  EXTRAS=test source recipes/setup_env.sh
fi
# Two at a time, each on one core.
tests_of() {
  OMP_NUM_THREADS=1 "$PYTHON" -m pytest -n 2 --dist loadfile "tests/$1"
}
# First what has time limits to keep, alone; then two lanes: GRPO, one run at a time, and beside it all else.
TIMED=(tests/e2e/test_hostile_answers.py tests/e2e/test_reward_workers.py)
end_to_end_runs() {
  "$PYTHON" -m pytest "${TIMED[@]}" || return
  # Threads that wait by spinning would take the other lane's core; Ray's workers, nice by default, would get none.
  OMP_WAIT_POLICY=passive RAY_worker_niceness=0 "$PYTHON" -m pytest -n 2 --durations=25 "${TIMED[@]/#/--ignore=}" tests/e2e
}
"$PYTHON" -m ruff format --check .
"$PYTHON" -m ruff check .
"$PYTHON" -m mypy
"$PYTHON" -c 'import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())'
case ${1:-all} in
  fast) tests_of fast ;;
  all) tests_of fast && tests_of integration && end_to_end_runs ;;
  *) echo "error: unknown tier '$1'; known: fast, all" >&2; exit 2 ;;
esac
