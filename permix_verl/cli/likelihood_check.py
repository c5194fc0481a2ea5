"""Test whether a base model's likelihoods tell which persona wrote an answer, on 480 answers whose persona is known.

permix likelihood-check --model smollm2 --out results/likelihood

The folder keeps the scores of each problem, and the same command goes on; likelihood.json there has the estimates.
Exit status: 0 if the interval of the hand-written answers lies above chance, and 1 otherwise: then the likelihood under
this base is no measure of persona fidelity.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from permix_verl.checkpoints.fetched import resolve_model
from permix_verl.checkpoints.fetching import fetch_if_missing
from permix_verl.errors import UserError, exit_with_message
from permix_verl.fidelity.likelihood.checked_base import ESTIMATES, SETTINGS
from permix_verl.inference.engine_config import DEFAULT_TEMPLATE_KWARGS
from permix_verl.inference.model_identity import model_identity
from permix_verl.statistics.clustered import Interval
from permix_verl.utils.cli_types import json_object
from permix_verl.utils.files import check_folder, write_atomic


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    from permix_verl.fidelity.likelihood.scores import load_base
    from permix_verl.lab.likelihood_check import GROUPS, analyse, as_record, score_group, usable

    folder = resolve_model(args.model)
    fetch_if_missing(folder)
    _begin(args.out, {"model": model_identity(folder), "chat_template_kwargs": args.chat_template_kwargs})
    model, tokenizer = load_base(folder, args.device)
    scores = {}
    for group in GROUPS:
        print(f"{group} ...", file=sys.stderr, flush=True)
        scores[group] = score_group(model, tokenizer, group, args.chat_template_kwargs, args.out)
    found = analyse(scores)
    for group, result in found.items():
        print(f"{group:<20} {_percent(result.rate)} identified, {_nats(result.margin)} nats a token over the others")
    print(f"chance is {100 * found[GROUPS[0]].chance:.1f} %; {found[GROUPS[0]].answers} answers in each group")
    write_atomic(args.out / ESTIMATES, json.dumps({"model": args.model, **as_record(found)}, indent=1) + "\n")
    if usable(found):
        return 0
    print("the interval of the hand-written answers does not lie above chance: no measure under this base")
    return 1


def _begin(out: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder, or refuse one with the scores of another model or template.

    Raises:
        UserError: it holds those of another one, or is a file.
    """
    check_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    file = out / SETTINGS
    if file.is_file() and json.loads(file.read_text()) != settings:
        raise UserError(f"{out} holds the scores of another model or chat template", "give another --out")
    write_atomic(file, json.dumps(settings, indent=1) + "\n")


def _percent(rate: Interval) -> str:
    limits = rate.refused if rate.low is None or rate.high is None else f"{100 * rate.low:.1f}, {100 * rate.high:.1f}"
    return f"{100 * rate.estimate:5.1f} % [{limits}]"


def _nats(margin: Interval) -> str:
    limits = margin.refused if margin.low is None or margin.high is None else f"{margin.low:+.3f}, {margin.high:+.3f}"
    return f"{margin.estimate:+.3f} [{limits}]"


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="permix likelihood-check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="frozen base: hub name, folder or short name")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda")
    parser.add_argument("--out", type=Path, required=True, help="folder of scores and estimates")
    parser.add_argument(
        "--chat-template-kwargs",
        type=json_object,
        default=DEFAULT_TEMPLATE_KWARGS,
        help="JSON object; default: as in training (fixed date, no thinking)",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    exit_with_message(main)
