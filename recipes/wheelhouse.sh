#!/usr/bin/env bash
# The project's packages for a machine without a network (docs/offline.md): pack them where there is one, unpack them there.
#
#   bash recipes/wheelhouse.sh pack --extra gpu --python 3.12 --have LIST --parts 60M --out DIR
#   bash recipes/wheelhouse.sh unpack DIR
#   WHEELHOUSE=DIR/wheelhouse bash recipes/run_permix_grpo.sh
#
# Needs a Python of 3.11 or newer with pip: PYTHON3, or the first fit on PATH.
set -euo pipefail
export PYTHONPATH=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
for PYTHON in ${PYTHON3:-python3 python3.11 python3.12 python3.13}; do
  "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && exec "$PYTHON" -m permix_verl.wheelhouse "$@"
done
echo "error: ${PYTHON3:-python3} is not Python 3.11 or newer; set PYTHON3=/path/to/python3.11" >&2
exit 2
