#!/usr/bin/env bash
# bitsandbytes 0.50.2, on a CPU with AVX512-BF16: after one forward pass in eval mode, on an input that needs no
# gradient, a 4-bit layer gives its input no gradient any more, not even after .train().
#
#   bash findings/bitsandbytes_relayout_has_no_gradient.sh   # PYTHON=python3.12 for another interpreter
#
# Exits with 0 if the behaviour is as described here, and with another status if it has changed. On a CPU without the
# feature it says "not applicable here" and exits with 0: bitsandbytes has another kernel there, which gives a gradient.
set -euo pipefail
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
"${PYTHON:-python3}" -m venv "$WORK/venv"
PIP=("$WORK/venv/bin/pip" install -qq --retries 1)
"${PIP[@]}" torch==2.13.0+cpu --extra-index-url https://download.pytorch.org/whl/cpu 2>/dev/null ||
  "${PIP[@]}" torch==2.13.0
"${PIP[@]}" bitsandbytes==0.50.2 numpy==2.3.5 torch==2.13.0
"$WORK/venv/bin/python" -I - <<'PY'
import logging
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it recommends an optional package
import bitsandbytes
import torch

EXPECTED = {
    "before: the input gets a gradient": True,
    "the forward pass in eval mode lays the weights out anew": True,
    "afterwards: the input gets a gradient": False,
    "afterwards: backward() warns": ["UserWarning"],
    "afterwards: the output is off by 0.1 to 1 % of its norm": True,
    "control, re-layout off: the input gets a gradient": True,
    "control, re-layout off: the output is off by 0.1 to 1 % of its norm": False,
}
for package in ("bitsandbytes", "torch"):
    print(package, version(package))
if not bitsandbytes.functional.has_avx512bf16():
    cpu = Path("/proc/cpuinfo")
    if cpu.exists() and "avx512_bf16" in cpu.read_text().split():
        sys.exit("The behaviour has changed: this CPU has AVX512-BF16, and bitsandbytes does not use it.")
    print("not applicable here: this CPU lacks AVX512-BF16, without which bitsandbytes lays nothing out anew.")
    sys.exit()
print(
    "Behaviour: the first forward pass in eval mode on an input that needs no gradient lays the weights out anew.\n"
    "From then on an operator without a backward pass computes the output, in bfloat16 whatever compute_dtype is."
)


def observe(relayout: bool) -> dict:
    """One layer before a forward pass in eval mode, and in training mode after it."""
    torch.manual_seed(0)
    layer = bitsandbytes.nn.Linear4bit(
        256, 128, bias=False, compute_dtype=torch.float32, quant_type="nf4", compress_statistics=True
    ).to("cpu")  # this quantises
    if not relayout:
        layer.support_avx512bf16_for_cpu = False
    x = torch.randn(8, 256)

    def outputs_and_gradient() -> tuple:
        needs_gradient = x.clone().requires_grad_()
        y = layer.train()(needs_gradient)
        y.sum().backward()
        return y.detach(), needs_gradient.grad

    y, gradient = outputs_and_gradient()
    packed = layer.weight.detach().clone()
    with torch.no_grad():
        layer.eval()(x)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        y_after, gradient_after = outputs_and_gradient()
    for warning in caught:
        print(f"{warning.category.__name__}: {str(warning.message).split('. ')[0]}.")
    return {
        "gradient": gradient,
        "relaid": not torch.equal(layer.weight, packed),
        "gradient after": gradient_after,
        "warnings": [warning.category.__name__ for warning in caught],
        "off": float((y_after - y).norm() / y.norm()),
    }


seen, control = observe(relayout=True), observe(relayout=False)
print(f"norm of the input's gradient before: {float(seen['gradient'].norm()):.4f}")
print(f"the input's gradient afterwards: {seen['gradient after']}")
print(f"difference of the outputs: {seen['off']:.2%} of their norm; with the re-layout off: {control['off']:.2%}")
found = dict(
    zip(
        EXPECTED,
        [
            seen["gradient"] is not None,
            seen["relaid"],
            seen["gradient after"] is not None,
            seen["warnings"],
            0.001 < seen["off"] < 0.01,
            control["gradient after"] is not None,
            0.001 < control["off"] < 0.01,
        ],
        strict=True,
    )
)
for what, value in found.items():
    print(f"{what}: {value}")
if found != EXPECTED:
    sys.exit(f"The behaviour has changed. Expected {EXPECTED}.")
print("The behaviour is as described.")
PY
