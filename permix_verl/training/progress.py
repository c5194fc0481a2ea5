"""Terminal output of a run: one line per training step, from the metrics files that verl writes."""

import sys
import time
from pathlib import Path

from permix_verl.runs import metrics as m
from permix_verl.runs.folder import RunFolder
from permix_verl.runs.persona_validation import (
    ValidationPersonas,
    persona_validation,
    read_validation_personas,
    write_robustness_csv,
)
from permix_verl.training.guards.learning_signal import MIN_STEPS, diagnose_no_signal
from permix_verl.training.guards.rollout_mismatch import norms_differ

_HEARTBEAT_S = 30


class Progress:
    """Progress display of a run: heartbeats, steps, validations, and rollout mismatches as soon as they occur."""

    def __init__(
        self, folder: RunFolder, log: Path, total: int, min_agreement: float, *, supervised: bool = False
    ) -> None:
        self.supervised = supervised
        self.folder = folder
        self.metrics_folder = folder.metrics
        self.personas = ValidationPersonas()
        self.log = log
        self.total = total
        self.min_agreement = min_agreement
        self.shown: set[int] = set()
        self.earlier: set[int] = set()  # of earlier launches
        self.validated: set[int] = set()
        self.warned_of_no_signal = False
        self.superseded: m.Metrics = {}  # metrics that an earlier launch logged for steps to be retrained
        self.file_sizes: dict[str, int] = {}  # of the metrics files at the last update
        self.began = time.monotonic()
        self.last_output = self.began

    def begin(self, done: int) -> None:
        """Print the header of a run with ``done`` finished steps."""
        self.personas = read_validation_personas(self.folder.data)
        # Steps after the last checkpoint will be retrained, and then shown again.
        earlier = m.read_metrics(self.metrics_folder)
        self.shown = {step for step in earlier if step <= done}
        self.earlier = set(self.shown)
        self.validated = set(self.shown)
        self.superseded = {step: values for step, values in earlier.items() if step > done}
        state = f"going on after step {done} of {self.total}" if done else f"{self.total} steps"
        print(f"training: {state}; full log: {self.log}")
        if self.supervised:
            print("starting verl; the first step comes in half a minute or so", flush=True)
            print(f"{'step':>9} {'loss':>8} {'gradient':>9} {'rate':>9} {'s/step':>7} {'left':>7}", flush=True)
            return
        print("starting Ray, verl and vLLM; the first step comes in a minute or two", flush=True)
        print(
            f"{'step':>9} {'reward':>7} {'length':>7} {'KL':>9} {'agreement':>9} {'s/step':>7} {'left':>7}", flush=True
        )

    def update(self, stage: str = "") -> None:
        """Print new steps and validations and, after a silence of 30 s, a heartbeat with the current stage."""
        if self._files_changed():
            self._show_new_steps()
        if time.monotonic() - self.last_output > _HEARTBEAT_S:
            self.last_output = time.monotonic()
            suffix = f", {stage}" if stage else ""
            print(f"          ... {time.monotonic() - self.began:.0f} s{suffix}", file=sys.stderr, flush=True)

    @property
    def new_steps(self) -> set[int]:
        """Training steps that this launch has logged."""
        return {step for step in self.shown - self.earlier if step > 0}

    def end(self) -> None:
        self.update()

    def _files_changed(self) -> bool:
        sizes = {file.name: file.stat().st_size for file in self.metrics_folder.glob("*.jsonl")}
        changed, self.file_sizes = sizes != self.file_sizes, sizes
        return changed

    def _show_new_steps(self) -> None:
        metrics, validated = m.read_metrics(self.metrics_folder), False
        for step, values in metrics.items():
            if values == self.superseded.get(step):
                continue
            if step not in self.shown:
                self.shown.add(step)
                self.last_output = time.monotonic()
                if m.REWARD in values:
                    self._show_step(step, values)
                elif m.LOSS in values:
                    self._show_supervised_step(step, values)
                validation = persona_validation(step, values, self.personas)
                if validation:
                    validated = True
                    print(f"          validation ({self.personas.label}): {validation.sentence()}", flush=True)
            if m.VAL_LOSS in values and step not in self.validated:  # logged after its step, possibly much later
                self.validated.add(step)
                print(f"          held-out loss {values[m.VAL_LOSS]:.4f}", flush=True)
        self._warn_of_no_signal(metrics)
        if validated:
            write_robustness_csv(self.folder.robustness_csv, metrics, self.personas)

    def _warn_of_no_signal(self, metrics: m.Metrics) -> None:
        """Warn once per launch, from step :data:`MIN_STEPS` on, if no group has a learning signal."""
        current = {step: values for step, values in metrics.items() if values != self.superseded.get(step)}
        if self.warned_of_no_signal or len(m.training_steps(current)) < MIN_STEPS:
            return
        problem = diagnose_no_signal(current)
        if problem:
            self.warned_of_no_signal = True
            print(f"          ! {problem}", flush=True)

    def _show_step(self, step: int, values: dict[str, float]) -> None:
        nan = float("nan")
        seconds = values.get(m.STEP_SECONDS, nan)
        left = max(self.total - step, 0) * seconds
        agreement = values.get(m.ROLLOUT_ACTOR_CORR, nan)
        print(
            f"{step:>4}/{self.total:<4} {values[m.REWARD]:>7.3f} {values.get(m.LENGTH, nan):>7.1f} "
            f"{values.get(m.KL, nan):>9.5f} {agreement:>9.5f} {seconds:>7.1f} {_minutes(left):>7}",
            flush=True,
        )
        for flag in ("timeout", "error"):
            rate = values.get(f"reward/{flag}_rate", 0.0)
            if rate > 0:
                print(f"          ! {rate:.1%} of the rewards ended in {flag}, and counted as 0", flush=True)
        if not agreement >= self.min_agreement:
            print(
                f"          ! rollout and actor disagree: correlation {agreement:.3f} < {self.min_agreement}",
                flush=True,
            )
        norm_ratio = values.get(m.ADAPTER_NORM_RATIO, 1.0)
        if norms_differ(norm_ratio):
            print(
                f"          ! the rollout engine holds another adapter ({norm_ratio:.1%} of the trained one)",
                flush=True,
            )

    def _show_supervised_step(self, step: int, values: dict[str, float]) -> None:
        nan = float("nan")
        seconds = values.get(m.STEP_SECONDS, nan)
        print(
            f"{step:>4}/{self.total:<4} {values[m.LOSS]:>8.4f} {values.get(m.GRAD_NORM, nan):>9.4f} "
            f"{values.get(m.LEARNING_RATE, nan):>9.2e} {seconds:>7.1f} "
            f"{_minutes(max(self.total - step, 0) * seconds):>7}",
            flush=True,
        )


def _minutes(seconds: float) -> str:
    return "?" if seconds != seconds else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
