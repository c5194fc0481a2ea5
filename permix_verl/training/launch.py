"""Run verl's GRPO or SFT trainer, show its progress, and write an adapter, its curves and the run's checks.

    python -m permix_verl.training.launch --run-dir runs/NAME --base MODEL -- KEY=VALUE ...

The recipes call this; verl's own Hydra overrides follow ``--``. The same command resumes a stopped run. Exit status:
verl's own if it failed; 3 if a check of the finished run failed, or a rollout mismatch stopped it.
"""

import argparse
import contextlib
from pathlib import Path

from permix_verl.checkpoints.best import prune_stash, stashed_steps, validation_gap_warning
from permix_verl.errors import UserError, exit_with_message
from permix_verl.runs.folder import RunFolder, finished_step, latest_checkpoint, lock_run_folder, recorded_step
from permix_verl.runs.metrics import read_metrics, training_steps
from permix_verl.runs.overrides import add_file_logger, overrides_by_key, total_steps, training_rows
from permix_verl.runs.settings import archive_old_steps, begin_run
from permix_verl.runs.trainers import GRPO, SFT, TRAINERS
from permix_verl.training.failure import explain_failure, report_deliberate_stop
from permix_verl.training.guards.dead_keys import refuse_dead_keys
from permix_verl.training.guards.watchdog import CAUSE_FILE
from permix_verl.training.hooks.dataloader_state import fit_to_workers
from permix_verl.training.qlora.settings import INSTALL, has_bitsandbytes, nf4_requested
from permix_verl.training.run_checks import CHECK_FAILED, check_run
from permix_verl.training.run_lock import hold_run_lock
from permix_verl.training.sft_run_checks import check_supervised_run
from permix_verl.training.trainer_process import train
from permix_verl.utils.ray_cluster import nodes_alive

RANK_KEYS = ("trainer.nnodes", "trainer.n_gpus_per_node")


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    folder = RunFolder(args.run_dir.resolve(), TRAINERS[args.trainer])
    for sub in (folder.checkpoints, folder.metrics, folder.logs):
        sub.mkdir(parents=True, exist_ok=True)
    settings = overrides_by_key(args.overrides)
    frequency = settings.get("trainer.save_freq", "1")
    if not frequency.isdigit() or int(frequency) < 1:
        raise UserError(f"trainer.save_freq={frequency}: no checkpoint would be saved", "set SAVE_FREQ to 1 or more")
    if folder.trainer is SFT and settings.get("trainer.test_freq") == "0":
        raise UserError(
            "trainer.test_freq=0 ends verl's SFT trainer at its first step", "set TEST_FREQ to 1 or more, or -1"
        )
    refuse_dead_keys(settings)
    args.overrides, notice = add_file_logger(args.overrides, args.trainer)
    if notice:
        print(notice)
    if nf4_requested(settings) and not has_bitsandbytes():
        raise UserError("QLORA=1 needs bitsandbytes, which is not installed", INSTALL)
    with contextlib.ExitStack() as locks:
        locks.enter_context(lock_run_folder(folder))
        if folder.trainer is GRPO:
            locks.enter_context(hold_run_lock())
        begin_run(folder, args.overrides, args.may_change)
        total = total_steps(args.overrides)
        saved = finished_step(folder)
        done = recorded_step(folder, training_steps(read_metrics(folder.metrics)), total)
        if saved and done == 0:
            archive_old_steps(folder)
        if done >= total:
            print(f"this run is finished ({total} steps in {folder.path}); RUN_DIR=... starts another")
        else:
            prepare(folder, args, done)
            warning = validation_gap_warning(settings, total) if folder.trainer is GRPO else None
            if warning:
                print(warning)
            nodes = nodes_alive() if int(settings.get("trainer.nnodes", "1")) > 1 else []
            status, log = train(folder, args.overrides, done, total, args.min_agreement)
            if status != 0 and report_deliberate_stop(folder, log):
                return CHECK_FAILED
            if status != 0:
                explain_failure(status, log, folder.path / CAUSE_FILE, nodes)
                return status if status > 0 else 128 - status
            done = finished_step(folder)
            if done < total:
                raise UserError(f"verl ended after step {done} of {total} without an error", f"see its log, {log}")
        if folder.trainer is SFT:
            return check_supervised_run(folder, args)
        return check_run(folder, args, total)


def prepare(folder: RunFolder, args: argparse.Namespace, done: int) -> None:
    """Write the files that verl is about to read: the initial adapter and, for a resume, the data loader's position."""
    settings = overrides_by_key(args.overrides)
    if settings.get(f"{folder.trainer.model}.lora_adapter_path") == str(folder.initial_adapter):
        from permix_verl.training.hooks.initial_adapter import write_initial_adapter

        write_initial_adapter(settings, folder.trainer.model, folder.initial_adapter, args.base)
    # Later steps will be retrained, so their stashed adapters are stale.
    prune_stash(folder, [step for step in stashed_steps(folder) if step <= done])
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
    parser.add_argument("--base", required=True, help="hub name or folder of the base model")
    parser.add_argument("--title", default="GRPO", help="heading of the figure")
    parser.add_argument("--next-command", default="", help="printed at the end")
    parser.add_argument(
        "--min-agreement", type=float, default=0.99, help="lowest accepted rollout-actor correlation of a step"
    )
    parser.add_argument("--check-dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--check-device", default="cpu")
    parser.add_argument(
        "--check-tolerance",
        type=float,
        default=1e-4,
        help="largest accepted difference between adapter and trained policy, in nats per token",
    )
    parser.add_argument(
        "--check-statistic", default="largest", choices=["largest", "mean"], help="of the differences over the tokens"
    )
    parser.add_argument(
        "--may-change", type=_read_changeable_keys, default=(), help="file with the keys that may change on resume"
    )
    parser.add_argument("overrides", nargs="*", help="verl's Hydra overrides, behind --")
    return parser.parse_args(argv)


def _read_changeable_keys(file: str) -> tuple[str, ...]:
    lines = Path(file).read_text().splitlines()
    # Except the number of ranks: verl reads a checkpoint with as many ranks as wrote it.
    return tuple(line for line in lines if line and line[0] != "#" and line not in RANK_KEYS)


if __name__ == "__main__":
    exit_with_message(main)
