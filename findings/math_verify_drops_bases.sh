#!/usr/bin/env bash
# math-verify 0.9.0 drops the base of a numeral: it judges 2021 in base 8 and 2021 in base 9 as equal.
#
#   bash findings/math_verify_drops_bases.sh     # PYTHON=python3.12 for another interpreter (3.11 or later)
#
# Exits with 0 if the behaviour is as described here, and with another status if it has changed.
set -euo pipefail
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
"${PYTHON:-python3}" -m venv "$WORK/venv"
# Pinned by name: pip 23.2.1 ignores the extra math-verify[antlr4_9_3] and installs antlr 4.13.2.
"$WORK/venv/bin/pip" install -qq \
  math-verify==0.9.0 latex2sympy2_extended==1.11.0 antlr4-python3-runtime==4.9.3 sympy==1.14.0
"$WORK/venv/bin/python" -I - <<'PY'
import sys
from importlib.metadata import version

from math_verify import parse, verify

EXPECTED = {  # (gold, answer): verdict
    (r"\boxed{2021_{8}}", r"\boxed{2021_{9}}"): True,  # 1041 and 1477 in base 10
    ("17", r"\boxed{17_{8}}"): True,  # 17 and 15
    ("15", r"\boxed{17_{8}}"): False,  # 15 and 15
    (r"\boxed{2021}", r"\boxed{2022}"): False,  # control: other digits
}
for package in ("math-verify", "latex2sympy2_extended", "antlr4-python3-runtime"):
    print(package, version(package))
print("Behaviour: a numeral with a base is read as its digits alone, and an answer in another base is judged right.")
found = {}
for gold, answer in EXPECTED:
    read = parse(gold), parse(answer)
    found[gold, answer] = verify(*read)
    print(f"gold {gold}, answer {answer}: parsed as {read[0]} and {read[1]}, verify -> {found[gold, answer]}")
if found != EXPECTED:
    sys.exit(f"The behaviour has changed. Expected {EXPECTED}, found {found}.")
print("The behaviour is as described.")
PY
