"""Run verl's GRPO or SFT trainer, show its progress, and write an adapter, its curves and the run's checks.

The same launch resumes a stopped run. Exit status: verl's own if it failed; 3 if a check of the finished run failed, or
a rollout mismatch stopped it.
"""

import contextlib

from permix_verl.checkpoints.best import prune_stash, stashed_steps, validation_gap_warning
from permix_verl.config.compose import RunConfig
from permix_verl.errors import UserError
from permix_verl.runs.folder import RunFolder, finished_step, latest_checkpoint, lock_run_folder, recorded_step
from permix_verl.runs.metrics import read_metrics, training_steps
from permix_verl.runs.settings import archive_old_steps, begin_run
from permix_verl.runs.steps import total_steps, training_rows
from permix_verl.runs.trainers import GRPO, SFT
from permix_verl.training.failure import explain_failure, report_deliberate_stop
from permix_verl.training.guards.dead_keys import refuse_dead_keys
from permix_verl.training.guards.watchdog import CAUSE_FILE
from permix_verl.training.hooks.dataloader_state import fit_to_workers
from permix_verl.training.launch_settings import LaunchSettings
from permix_verl.training.qlora.settings import INSTALL, has_bitsandbytes, nf4_requested
from permix_verl.training.run_checks import CHECK_FAILED, check_run
from permix_verl.training.run_lock import hold_run_lock
from permix_verl.training.sft_run_checks import check_supervised_run
from permix_verl.training.trackers.finish import finish_trackers
from permix_verl.training.trainer_process import train
from permix_verl.utils.ray_cluster import nodes_alive


def launch(settings: LaunchSettings) -> int:
    """Train, or go on with a stopped run, and check the result; return the exit status.

    Raises:
        UserError: settings that train nothing, or not what they say; a run folder in use, or with another run.
    """
    config, folder = settings.config, settings.folder
    refuse_to_launch(config)
    for sub in (folder.checkpoints, folder.metrics, folder.logs):
        sub.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as locks:
        locks.enter_context(lock_run_folder(folder))
        if folder.trainer is GRPO:
            locks.enter_context(hold_run_lock())
        begin_run(folder, config)
        total = total_steps(config)
        saved = finished_step(folder)
        done = recorded_step(folder, training_steps(read_metrics(folder.metrics)), total)
        if saved and done == 0:
            archive_old_steps(folder)
        if done >= total:
            print(f"this run is finished ({total} steps in {folder.path}); RUN_DIR=... starts another")
        else:
            prepare(folder, settings, done)
            warning = validation_gap_warning(config, total) if folder.trainer is GRPO else None
            if warning:
                print(warning)
            nodes = nodes_alive() if config["trainer.nnodes"] > 1 else []
            status, log = train(folder, config, done, total, settings.min_agreement)
            if status != 0 and report_deliberate_stop(folder, log):
                return CHECK_FAILED
            if status != 0:
                explain_failure(status, log, folder.path / CAUSE_FILE, nodes)
                return status if status > 0 else 128 - status
            done = finished_step(folder)
            if done < total:
                raise UserError(f"verl ended after step {done} of {total} without an error", f"see its log, {log}")
        status = check_supervised_run(folder, settings) if folder.trainer is SFT else check_run(folder, settings, total)
        finish_trackers(settings)
        return status


def refuse_to_launch(config: RunConfig) -> None:
    """Refuse a configuration that would save nothing, or not do what it says.

    Raises:
        UserError: the first such setting.
    """
    frequency = config["trainer.save_freq"]
    if not isinstance(frequency, int) or frequency < 1:
        raise UserError(f"trainer.save_freq={frequency}: no checkpoint would be saved", "set SAVE_FREQ to 1 or more")
    if config.trainer == "sft" and config["trainer.test_freq"] == 0:
        raise UserError(
            "trainer.test_freq=0 ends verl's SFT trainer at its first step", "set TEST_FREQ to 1 or more, or -1"
        )
    refuse_dead_keys(config)
    if nf4_requested(config) and not has_bitsandbytes():
        raise UserError("QLORA=1 needs bitsandbytes, which is not installed", INSTALL)


def prepare(folder: RunFolder, settings: LaunchSettings, done: int) -> None:
    """Write the files that verl is about to read: the initial adapter and, for a resume, the data loader's position."""
    config = settings.config
    if config.get(f"{folder.trainer.model}.lora_adapter_path") == str(folder.initial_adapter):
        from permix_verl.training.hooks.initial_adapter import write_initial_adapter

        write_initial_adapter(config, folder.trainer.model, folder.initial_adapter, settings.base)
    # Later steps will be retrained, so their stashed adapters are stale.
    prune_stash(folder, [step for step in stashed_steps(folder) if step <= done])
    checkpoint = latest_checkpoint(folder)
    if checkpoint is not None and folder.trainer is GRPO:
        fit_to_workers(
            checkpoint,
            rows=training_rows(config),
            batch=config["data.train_batch_size"],
            step=done,
            workers=config["data.dataloader_num_workers"],
        )
    (folder.path / CAUSE_FILE).unlink(missing_ok=True)
