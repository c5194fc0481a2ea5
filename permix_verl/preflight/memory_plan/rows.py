"""Rows of an epoch: counted in local files, published for known data sets, else assumed."""

from pathlib import Path

from permix_verl.config.compose import RunConfig
from permix_verl.config.generated import generates_problems
from permix_verl.data.code_problems import CodeSource
from permix_verl.data.problem_sources import ProblemSource
from permix_verl.data.source_spec import parse_sources
from permix_verl.runs.data_files import count_rows
from permix_verl.runs.own_files import find_own_files

ASSUMED_ROWS = 7473
"""Problems of a data set of unknown size: GSM8K's."""


def training_rows(config: RunConfig) -> tuple[int, str]:
    """Return the rows of an epoch, without those held out, and where the number comes from.

    Raises:
        UserError: a data file that is missing or cannot be read.
    """
    own = find_own_files(config, Path(config["permix.run_dir"])).get("train")
    if own:
        counted = sum(map(count_rows, own))
        return counted, f"{counted:,} rows counted in {', '.join(own)}"
    if generates_problems(config):
        whose = "the lab's problems" if config["permix.preset"] == "lab" else "generated problems"
        return _without_held_out(config, config["permix.lab_problems"]), whose
    kind = CodeSource if config.get("permix.task") == "code" else ProblemSource
    problems, said = 0.0, list[str]()
    for spec in parse_sources(config["permix.data"]):
        source = kind(spec)
        found = source.count()
        if found is None:
            found = ASSUMED_ROWS
            said.append(f"{spec.location}: its number of problems is unknown here, {found:,} are assumed (--rows)")
        else:
            how = "published" if source.files() is None else "counted"
            said.append(f"{spec.location}: {found:,} problems, {how}")
        problems += found * spec.weight
    return _without_held_out(config, int(problems)), "; ".join(said)


def _without_held_out(config: RunConfig, problems: int) -> int:
    return max(1, problems - int(config["permix.val_problems"]))
