#!/usr/bin/env bash
# All checks: lint, types, then the fast tests (under 2 minutes) and the end-to-end runs (under 45).
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
"$PYTHON" -m ruff format --check .
"$PYTHON" -m ruff check .
"$PYTHON" -m mypy
case ${1:-all} in
  fast) "$PYTHON" -m pytest tests/fast ;;
  all) "$PYTHON" -m pytest --durations=25 tests/fast tests/e2e ;;
  *) echo "error: unknown tier '$1'; known: fast, all" >&2; exit 2 ;;
esac
