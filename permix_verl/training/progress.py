"""A line per training step on the terminal, read from the metrics as verl writes them."""

import sys
import time
from pathlib import Path

from permix_verl.runs import metrics as m
from permix_verl.runs.folder import RunFolder
from permix_verl.runs.persona_validation import Arms, read_arms, robustness, write_robustness
from permix_verl.training.guards.learning_signal import ENOUGH_STEPS, nothing_to_learn
from permix_verl.training.guards.rollout_mismatch import not_in_step

_HEARTBEAT_S = 30


class Progress:
    """Shows a run: what it waits for, each step, each validation, and a disagreement at once."""

    def __init__(
        self, folder: RunFolder, log: Path, total: int, min_agreement: float, *, supervised: bool = False
    ) -> None:
        self.supervised = supervised
        self.folder = folder
        self.metrics_folder = folder.metrics
        self.arms = Arms()
        self.log = log
        self.total = total
        self.min_agreement = min_agreement
        self.shown: set[int] = set()
        self.validated: set[int] = set()
        self.warned_of_no_lesson = False
        self.superseded: m.Metrics = {}  # what an earlier launch logged of steps that are trained again
        self.sizes: dict[str, int] = {}  # of the metrics files at the last look
        self.began = time.monotonic()
        self.last_sign = self.began

    def begin(self, done: int) -> None:
        self.arms = read_arms(self.folder.data)
        # Steps after the last checkpoint are trained again, and shown again once they are.
        earlier = m.read_metrics(self.metrics_folder)
        self.shown = {step for step in earlier if step <= done}
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
        """Print what is new since the last call, or now and then what the run does."""
        if self._changed():
            self._show_new_steps()
        if time.monotonic() - self.last_sign > _HEARTBEAT_S:
            self.last_sign = time.monotonic()
            doing = f", {stage}" if stage else ""
            print(f"          ... {time.monotonic() - self.began:.0f} s{doing}", file=sys.stderr, flush=True)

    def end(self) -> None:
        self.update()

    def _changed(self) -> bool:
        sizes = {file.name: file.stat().st_size for file in self.metrics_folder.glob("*.jsonl")}
        changed, self.sizes = sizes != self.sizes, sizes
        return changed

    def _show_new_steps(self) -> None:
        metrics, validated = m.read_metrics(self.metrics_folder), False
        for step, values in metrics.items():
            if values == self.superseded.get(step):
                continue
            if step not in self.shown:
                self.shown.add(step)
                self.last_sign = time.monotonic()
                if m.REWARD in values:
                    self._show_step(step, values)
                elif m.LOSS in values:
                    self._show_supervised_step(step, values)
                found = robustness(step, values, self.arms)
                if found:
                    validated = True
                    print(f"          validation ({self.arms.label}): {found.sentence()}", flush=True)
            if m.VAL_LOSS in values and step not in self.validated:  # logged after its step, maybe much later
                self.validated.add(step)
                print(f"          held-out loss {values[m.VAL_LOSS]:.4f}", flush=True)
        self._warn_of_no_lesson(metrics)
        if validated:
            write_robustness(self.folder.robustness, metrics, self.arms)

    def _warn_of_no_lesson(self, metrics: m.Metrics) -> None:
        """Once a launch, from the fifth step on."""
        ours = {step: values for step, values in metrics.items() if values != self.superseded.get(step)}
        if self.warned_of_no_lesson or len(m.training_steps(ours)) < ENOUGH_STEPS:
            return
        problem = nothing_to_learn(ours)
        if problem:
            self.warned_of_no_lesson = True
            print(f"          ! {problem}", flush=True)

    def _show_step(self, step: int, values: dict[str, float]) -> None:
        nan = float("nan")
        seconds = values.get(m.STEP_SECONDS, nan)
        left = max(self.total - step, 0) * seconds
        agreement = values.get(m.AGREEMENT, nan)
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
        share = values.get(m.ADAPTER_SYNC, 1.0)
        if not_in_step(share):
            print(f"          ! the rollout engine holds another adapter ({share:.1%} of the trained one)", flush=True)

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
