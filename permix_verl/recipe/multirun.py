"""Several runs of a method, one after another: seeds, and sweeps in Hydra's grammar."""

import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

from permix_verl.config.quoting import quote_value
from permix_verl.errors import UserError
from permix_verl.recipe.resolve import resolve, split_settings
from permix_verl.utils.commands import INTERRUPTED, PERMIX, run_command

_NAMED = ("permix.seed", "permix.model", "permix.target", "permix.teacher", "permix.persona")
"""Keys that the default run folder names already."""


def jobs(
    method: str, settings: Sequence[str], environment: Mapping[str, str], seeds: int, sweep: bool
) -> list[list[str]]:
    """Return the settings of each run.

    Args:
        method: name of the method's configuration.
        settings: KNOB=VALUE and Hydra overrides, with sweeps such as ``permix.kl=0.001,0.01`` if ``sweep``.
        environment: variables, of which knobs are read.
        seeds: runs per setting: the seed and those behind it.

    Raises:
        UserError: settings under which the runs would share a folder, or do not resolve.
    """
    expanded = [list(job) for job in (_expand(settings) if sweep else [(settings, "")])]
    runs: list[list[str]] = []
    for job, suffix in expanded:
        config = resolve(method, [*job], environment)
        if len(expanded) * seeds > 1 and "permix.run_dir" in config.given:
            raise UserError("RUN_DIR with several runs: they would share it", "leave it unset: each gets its own")
        name = [f"permix.name={quote_value(config['permix.name'] + suffix)}"] if suffix else []
        first = config["permix.seed"]
        knobs, overrides = split_settings(job)
        kept = [f"{knob}={value}" for knob, value in knobs.items() if knob != "SEED"]
        kept += [text for text in overrides if not text.startswith("permix.seed=")]
        runs += [[*kept, *name, f"permix.seed={first + number}"] for number in range(seeds)]
    return runs


def _expand(settings: Sequence[str]) -> Iterator[tuple[list[str], str]]:
    """Yield each combination of the swept values, and the end of its run's name."""
    choices: list[list[tuple[str, str]]] = []
    knobs, overrides = split_settings(settings)
    for text in overrides:
        parsed = OverridesParser.create().parse_override(text)
        if not parsed.is_sweep_override():
            choices.append([(text, "")])
            continue
        key, named = parsed.get_key_element(), parsed.key_or_group in _NAMED
        short = key.lstrip("+~").rpartition(".")[2]
        values = list(parsed.sweep_string_iterator())
        choices.append([(f"{key}={value}", "" if named else f"-{short}={Path(value).name}") for value in values])
    for chosen in itertools.product(*choices):
        given = [f"{knob}={value}" for knob, value in knobs.items()]
        yield [*given, *(text for text, _ in chosen)], "".join(suffix for _, suffix in chosen)


def run_all(method: str, runs: Sequence[Sequence[str]], environment: Mapping[str, str], flags: Sequence[str]) -> int:
    """Train each run in a process of its own, and stop at the first that fails; return the exit status."""
    variables = {name: value for name, value in environment.items() if name not in ("SEEDS", "SEED", "RUN_DIR")}
    folders = []
    for number, settings in enumerate(runs, 1):
        config = resolve(method, settings, variables)
        folders.append(config["permix.run_dir"])
        print(f"\n== run {number} of {len(runs)}: {config['permix.run_dir']}", flush=True)
        status = run_command([*PERMIX, "train", method, *settings, *flags], variables)
        if status:
            if status != INTERRUPTED:
                print(
                    f"error: run {number} of {len(runs)} ended with {status}; the same command goes on", file=sys.stderr
                )
            return status
    print("\n== all runs", *folders, sep="\n", flush=True)
    return 0
