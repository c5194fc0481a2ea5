"""Log a finished run's results to one tracker's run.

python -m permix_verl.training.trackers.upload TRACKER < RESULTS.json

A process of its own, with the variables of ``tracker_environment``: a library that hangs or dies ends nothing else.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from permix_verl.training.trackers.completions import COLUMNS
from permix_verl.training.trackers.results import FinalResults

FIGURE, COMPLETIONS, ROBUSTNESS, CHECKS = "final/curves", "final/completions", "final/robustness", "final/checks"
"""Names of the results in every tracker."""
PREFIX = "checks/"
"""Start of the names of the checks' numbers."""


def to_wandb(results: FinalResults) -> None:
    """Log a figure and tables behind the last step, and the checks to the run's summary."""
    import wandb

    run = wandb.init(project=results.project, name=results.name, settings=wandb.Settings(console="off", silent=True))
    data: dict[str, Any] = {}
    if results.figure:
        data[FIGURE] = wandb.Image(results.figure)
    if results.completions:
        data[COMPLETIONS] = wandb.Table(list(COLUMNS), [list(row.values()) for row in results.completions])
    if rows := results.robustness_rows():
        data[ROBUSTNESS] = wandb.Table(list(rows[0]), [list(row.values()) for row in rows])
    if data:
        # Online a resumed run knows its last step; offline it starts at 0.
        run.log(data, step=max(run.step, results.step + 1))
    run.summary.update(_named(results) | ({CHECKS: results.outcome} if results.outcome else {}))
    for file in results.files:
        run.save(file, base_path=os.path.dirname(file), policy="now")
    run.finish()


def to_mlflow(results: FinalResults) -> None:
    """Log files, a table, metrics and a tag to the run in ``MLFLOW_RUN_ID``.

    Raises:
        KeyError: the launcher could not make a run.
    """
    from mlflow import MlflowClient

    client, run_id = MlflowClient(os.environ["MLFLOW_TRACKING_URI"]), os.environ["MLFLOW_RUN_ID"]
    for file in results.files:
        client.log_artifact(run_id, file)
    table = f"completions_{results.step}.json"
    if results.completions and table not in [file.path for file in client.list_artifacts(run_id)]:  # it would append
        client.log_table(run_id, {name: [row[name] for row in results.completions] for name in COLUMNS}, table)
    for name, value in _named(results).items():
        client.log_metric(run_id, name, value, step=results.step)
    if results.outcome:
        client.set_tag(run_id, CHECKS.replace("/", "."), results.outcome)
    client.set_terminated(run_id, "FINISHED")


def to_tensorboard(results: FinalResults) -> None:
    """Log an image, tables as text, and scalars at the last step."""
    from torch.utils.tensorboard import SummaryWriter

    with contextlib.closing(SummaryWriter(os.environ["TENSORBOARD_DIR"])) as writer:
        if results.figure:
            from matplotlib import image

            writer.add_image(FIGURE, image.imread(results.figure), results.step, dataformats="HWC")
        tables = {COMPLETIONS: results.completions, ROBUSTNESS: results.robustness_rows()}
        for name, rows in tables.items():
            if rows:
                writer.add_text(name, markdown_table(rows), results.step)
        if results.outcome:
            writer.add_text(CHECKS, results.outcome, results.step)
        for name, value in _named(results).items():
            writer.add_scalar(name, value, results.step)


def to_trackio(results: FinalResults) -> None:
    """Log an image, tables and the checks at the last step."""
    import trackio

    trackio.init(project=results.project, name=results.name, resume="allow", auto_log_gpu=False, auto_log_cpu=False)
    data: dict[str, Any] = dict(_named(results))
    if results.figure:
        data[FIGURE] = trackio.Image(results.figure)
    for name, rows in {COMPLETIONS: results.completions, ROBUSTNESS: results.robustness_rows()}.items():
        if rows:
            data[name] = trackio.Table(data=[list(row.values()) for row in rows], columns=list(rows[0]))
    if results.outcome:
        data[CHECKS] = trackio.Markdown(results.outcome)
    trackio.log(data, step=results.step)
    trackio.finish()


def to_swanlab(results: FinalResults) -> None:
    """Log an image, tables and the checks at the last step."""
    import swanlab

    swanlab.init(
        project=results.project,
        experiment_name=results.name,
        logdir=os.environ["SWANLAB_LOG_DIR"],
        mode=os.environ.get("SWANLAB_MODE", "cloud"),
    )
    data: dict[str, Any] = dict(_named(results))
    if results.figure:
        data[FIGURE] = swanlab.Image(results.figure)
    for name, rows in {COMPLETIONS: results.completions, ROBUSTNESS: results.robustness_rows()}.items():
        if rows:
            table = swanlab.echarts.Table()
            table.add(headers=list(rows[0]), rows=[list(row.values()) for row in rows])
            data[name] = table
    if results.outcome:
        data[CHECKS] = swanlab.Text(results.outcome)
    swanlab.log(data, step=results.step)
    swanlab.finish()


UPLOADS: Mapping[str, Callable[[FinalResults], None]] = {
    "wandb": to_wandb,
    "mlflow": to_mlflow,
    "tensorboard": to_tensorboard,
    "trackio": to_trackio,
    "swanlab": to_swanlab,
}
"""Tracker -> function."""


def markdown_table(rows: Any) -> str:
    """Return rows, dicts with the same keys, as a table in Markdown; a line end within a cell becomes ``<br>``."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", "<br>")


def _named(results: FinalResults) -> dict[str, float]:
    return {f"{PREFIX}{name}": value for name, value in results.checks.items()}


if __name__ == "__main__":
    UPLOADS[sys.argv[1]](FinalResults.from_json(sys.stdin.read()))
