"""Generation of missing samples; scoring and storing overlap with it."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from permix_verl.chat_templates.reading import Reading
from permix_verl.errors import UserError
from permix_verl.evaluation.sample_store import Sample, SampleStore
from permix_verl.evaluation.sampling_plan import MissingSamples, PendingSample
from permix_verl.evaluation.scoring import Score, Scorer
from permix_verl.inference.engines import Completion, Engine, Request
from permix_verl.inference.request_loop import progress_bar, run_requests


@dataclass(frozen=True, slots=True)
class GenerationOutcome:
    """Counts of one call.

    Attributes:
        stored: samples of the plan that are stored now.
        generated: samples stored by this call.
        failed: requests without a completion; the same command retries them.
    """

    stored: int
    generated: int
    failed: int


def generate_missing(
    missing: MissingSamples, engine: Engine, scorer: Scorer, reading: Reading | None = None
) -> GenerationOutcome:
    """Generate, score and store every missing sample. The store must be locked (``store.writing()``).

    Args:
        reading: how thoughts are told from answers.
    """
    with progress_bar(missing.plan.size, missing.stored, "sample") as bar:
        generation = _SampleGeneration(missing.store, scorer, bar, reading or Reading())
        run_requests(engine, generation.requests(missing), generation.take)
        generation.store_scored(wait=True)
    return GenerationOutcome(missing.stored + generation.generated, generation.generated, generation.failed)


class _SampleGeneration:
    """State of one call: samples whose completion or score is awaited."""

    def __init__(self, store: SampleStore, scorer: Scorer, bar: Any, reading: Reading) -> None:
        self._store, self._scorer, self._bar, self._reading = store, scorer, bar, reading
        self._running: dict[str, PendingSample] = {}
        self._scoring: list[tuple[PendingSample, Completion, Future[Score]]] = []
        self.generated = self.failed = self._correct = 0

    def requests(self, missing: Iterable[PendingSample]) -> Iterator[Request]:
        """Yield the samples' requests.

        Raises:
            UserError: two problems with one id.
        """
        for sample in missing:
            key = sample.request.key
            if key in self._running:
                raise UserError(
                    f"problem {sample.problem.id} of task {sample.task.name} stands twice", "give each its own id"
                )
            self._running[key] = sample
            yield sample.request

    def take(self, completions: Sequence[Completion]) -> list[Request]:
        """Submit completions for scoring, and store those that are scored; there are no follow-up requests."""
        for completion in completions:
            sample = self._running.pop(completion.key)
            if completion.error is None:
                text = self._reading.text(completion.output, sample.prompt, completion.finish_reason)
                future = self._scorer.submit(sample.task, sample.problem, text)
                self._scoring.append((sample, completion, future))
            else:
                self.failed += 1
                self._store.append_failure(
                    {"key": completion.key, "task": sample.task.name, "persona": sample.persona}
                    | {"problem": sample.problem.id, "run": sample.run, "error": completion.error}
                )
                self._show()
        self.store_scored(wait=False)
        return []

    def store_scored(self, *, wait: bool) -> None:
        """Store the completions that are scored; with ``wait``, all of them."""
        scored = [entry for entry in self._scoring if wait or entry[2].done()]
        if not scored:
            return
        keys = {completion.key for _, completion, _ in scored}
        self._scoring = [entry for entry in self._scoring if entry[1].key not in keys]
        samples = [_sample(sample, completion, future.result()) for sample, completion, future in scored]
        self._store.append(samples)
        self.generated += len(samples)
        self._correct += sum(sample.status == "correct" for sample in samples)
        self._bar.update(len(samples))
        self._show()

    def _show(self) -> None:
        failed = {"failed": self.failed} if self.failed else {}
        self._bar.set_postfix(**failed, accuracy=f"{self._correct / max(self.generated, 1):.3f}", refresh=False)


def _sample(pending: PendingSample, completion: Completion, score: Score) -> Sample:
    return Sample(
        key=completion.key,
        task=pending.task.name,
        persona=pending.persona,
        problem=pending.problem.id,
        run=pending.run,
        prompt=pending.prompt,
        prompt_sha256=pending.prompt_sha256,
        gold=pending.problem.gold,
        output=completion.output,
        pred=str(score["pred"]),
        status=str(score["status"]),
        finish_reason=completion.finish_reason,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        seed=pending.request.seed,
        mark=str(score.get("mark", "")),
    )
