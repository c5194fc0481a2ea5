"""Run verl's GRPO or SFT trainer, show its progress, and leave an adapter, a picture and a verdict.

    python -m permix_verl.training.launch --run-dir runs/NAME --base MODEL -- KEY=VALUE ...

The recipes call this; what follows ``--`` are verl's own Hydra overrides. The same
command goes on where an earlier one stopped. Exit status: verl's own if it failed,
3 if a check did not pass: at its end, or at a step that was the last one for it.
"""

import argparse
import contextlib
from pathlib import Path

from permix_verl.checkpoints.best import keep_only, kept_steps, never_compared
from permix_verl.errors import UserError, exit_with_message
from permix_verl.runs.folder import RunFolder, exclusive, finished_step, latest_checkpoint, recorded_step
from permix_verl.runs.metrics import read_metrics, training_steps
from permix_verl.runs.overrides import as_dict, total_steps, training_rows, with_file_logging
from permix_verl.runs.settings import begin, supersede
from permix_verl.runs.trainers import GRPO, SFT, TRAINERS
from permix_verl.training.failure import explain_failure, stopped_on_purpose
from permix_verl.training.guards.dead_keys import refuse_dead_keys
from permix_verl.training.guards.watchdog import CAUSE_FILE
from permix_verl.training.hooks.dataloader_state import fit_to_workers
from permix_verl.training.qlora.settings import INSTALL, bitsandbytes_is_there, nf4_is_asked_for
from permix_verl.training.run_checks import CHECK_FAILED, conclude
from permix_verl.training.run_lock import alone_on_this_machine
from permix_verl.training.sft_run_checks import conclude_supervised
from permix_verl.training.trainer_process import train
from permix_verl.utils.ray_cluster import nodes_alive

RANKS = ("trainer.nnodes", "trainer.n_gpus_per_node")


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    folder = RunFolder(args.run_dir.resolve(), TRAINERS[args.trainer])
    for sub in (folder.checkpoints, folder.metrics, folder.logs):
        sub.mkdir(parents=True, exist_ok=True)
    settings = as_dict(args.overrides)
    frequency = settings.get("trainer.save_freq", "1")
    if not frequency.isdigit() or int(frequency) < 1:
        raise UserError(f"trainer.save_freq={frequency}: something must be kept; set SAVE_FREQ to 1 or more")
    if folder.trainer is SFT and settings.get("trainer.test_freq") == "0":
        raise UserError(
            "trainer.test_freq=0 ends verl's SFT trainer at its first step; set TEST_FREQ to 1 or more, or -1"
        )
    refuse_dead_keys(settings)
    args.overrides, said = with_file_logging(args.overrides, args.trainer)
    if said:
        print(said)
    if nf4_is_asked_for(settings) and not bitsandbytes_is_there():
        raise UserError(f"QLORA=1 needs bitsandbytes, which is not installed; {INSTALL}")
    with contextlib.ExitStack() as held:
        held.enter_context(exclusive(folder))
        if folder.trainer is GRPO:
            held.enter_context(alone_on_this_machine())
        begin(folder, args.overrides, args.may_change)
        total = total_steps(args.overrides)
        saved = finished_step(folder)
        done = recorded_step(folder, training_steps(read_metrics(folder.metrics)), total)
        if saved and done == 0:
            supersede(folder)
        if done >= total:
            print(f"this run is finished ({total} steps in {folder.path}); RUN_DIR=... starts another")
        else:
            prepare(folder, args, done)
            unseen = never_compared(settings, total) if folder.trainer is GRPO else None
            if unseen:
                print(unseen)
            nodes = nodes_alive() if int(settings.get("trainer.nnodes", "1")) > 1 else []
            status, log = train(folder, args.overrides, done, total, args.min_agreement)
            if status != 0 and stopped_on_purpose(folder, log):
                return CHECK_FAILED
            if status != 0:
                explain_failure(status, log, folder.path / CAUSE_FILE, nodes)
                return status if status > 0 else 128 - status
            done = finished_step(folder)
            if done < total:
                raise UserError(f"verl ended after step {done} of {total} without an error; see its log, {log}")
        if folder.trainer is SFT:
            return conclude_supervised(folder, args)
        return conclude(folder, args, total)


def prepare(folder: RunFolder, args: argparse.Namespace, done: int) -> None:
    """Put in place what verl is about to read: the initial adapter, and the data loader's position after a resume."""
    settings = as_dict(args.overrides)
    if settings.get(f"{folder.trainer.model}.lora_adapter_path") == str(folder.initial_adapter):
        from permix_verl.training.hooks.initial_adapter import put_initial_adapter

        put_initial_adapter(settings, folder.trainer.model, folder.initial_adapter, args.base)
    # Steps that will be trained again: what is kept of them is not theirs for long.
    keep_only(folder, [step for step in kept_steps(folder) if step <= done])
    checkpoint = latest_checkpoint(folder)
    if checkpoint is not None and folder.trainer is GRPO:
        fit_to_workers(
            checkpoint,
            rows=training_rows(args.overrides),
            batch=int(settings["data.train_batch_size"]),
            step=done,
            workers=int(settings["data.dataloader_num_workers"]),
        )
    (folder.path / CAUSE_FILE).unlink(missing_ok=True)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--trainer", default="grpo", choices=list(TRAINERS))
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of the run")
    parser.add_argument("--base", required=True, help="hub name or folder of the model that is trained")
    parser.add_argument("--title", default="GRPO", help="heading of the figure")
    parser.add_argument("--next-command", default="", help="printed at the end")
    parser.add_argument("--min-agreement", type=float, default=0.99, help="least rollout-actor correlation of a step")
    parser.add_argument("--check-dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--check-device", default="cpu")
    parser.add_argument(
        "--check-tolerance", type=float, default=1e-4, help="nats a token between the adapter and what was trained"
    )
    parser.add_argument("--check-statistic", default="largest", choices=["largest", "mean"], help="over the tokens")
    parser.add_argument("--may-change", type=_listed_keys, default=(), help="file of keys that may change on resume")
    parser.add_argument("overrides", nargs="*", help="verl's Hydra overrides, behind --")
    return parser.parse_args(argv)


def _listed_keys(file: str) -> tuple[str, ...]:
    lines = Path(file).read_text().splitlines()
    # Not the number of ranks: verl's checkpoints are read by as many as wrote them.
    return tuple(line for line in lines if line and line[0] != "#" and line not in RANKS)


if __name__ == "__main__":
    exit_with_message(main)
