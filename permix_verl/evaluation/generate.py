"""One pass of the engine over everything that is missing; scoring and storing go on beside it."""

import sys
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from tqdm import tqdm

from permix_verl.errors import UserError
from permix_verl.evaluation.sample_store import Sample
from permix_verl.evaluation.sampling_plan import Remaining, Wanted
from permix_verl.evaluation.scoring import Scorer, Verdict
from permix_verl.inference.engines import Completion, Engine
from permix_verl.inference.request_loop import SUBMIT


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pass did.

    Attributes:
        stored: samples of the plan that are there now.
        generated: of those, drawn in this pass.
        failed: requests that gave no answer; the same command asks again.
    """

    stored: int
    generated: int
    failed: int


def run(remaining: Remaining, engine: Engine, scorer: Scorer) -> Outcome:
    """Draw, score and store every sample that is missing. The store must be held (``store.writing()``)."""
    plan, store = remaining.plan, remaining.store
    wanted = iter(remaining)
    asked: dict[str, Wanted] = {}
    verdicts: list[tuple[Wanted, Completion, Future[Verdict]]] = []
    generated = failed = correct = 0
    with tqdm(
        total=plan.size,
        initial=remaining.stored,
        unit="sample",
        smoothing=0.05,
        mininterval=1 if sys.stderr.isatty() else 30,
        file=sys.stderr,
    ) as bar:
        exhausted = False
        while not exhausted or asked or verdicts:
            if not exhausted:
                exhausted = _submit(wanted, asked, engine)
            for completion in engine.collect() if asked else ():
                entry = asked.pop(completion.key)
                if completion.error is not None:
                    failed += 1
                    store.append_failure(
                        {"key": completion.key, "task": entry.task.name, "persona": entry.persona}
                        | {"problem": entry.problem.id, "run": entry.run, "error": completion.error}
                    )
                    bar.set_postfix(failed=failed, accuracy=f"{correct / max(generated, 1):.3f}", refresh=False)
                    continue
                verdicts.append((entry, completion, scorer.submit(entry.task, entry.problem, completion.output)))
            # Wait for verdicts only when there is nothing else to do.
            idle = exhausted and not asked
            done = [row for row in verdicts if idle or row[2].done()]
            if done:
                stored = {row[1].key for row in done}
                verdicts = [row for row in verdicts if row[1].key not in stored]
                samples = [_sample(*row) for row in done]
                store.append(samples)
                generated += len(samples)
                correct += sum(sample.status == "correct" for sample in samples)
                bar.update(len(samples))
                bar.set_postfix(accuracy=f"{correct / generated:.3f}", refresh=False)
    return Outcome(remaining.stored + generated, generated, failed)


def _submit(wanted: Iterator[Wanted], asked: dict[str, Wanted], engine: Engine) -> bool:
    """Fill the engine; whether nothing is left to ask."""
    room = min(engine.room(), SUBMIT)
    if room == 0:
        return False
    lot: list[Wanted] = []
    for entry in wanted:
        if entry.request.key in asked:
            raise UserError(f"problem {entry.problem.id} of task {entry.task.name} stands twice; give each its own id")
        asked[entry.request.key] = entry
        lot.append(entry)
        if len(lot) >= room:
            break
    if lot:
        engine.submit([entry.request for entry in lot])
    return len(lot) < room


def _sample(entry: Wanted, completion: Completion, verdict: "Future[Verdict]") -> Sample:
    result = verdict.result()
    return Sample(
        key=completion.key,
        task=entry.task.name,
        persona=entry.persona,
        problem=entry.problem.id,
        run=entry.run,
        prompt=entry.prompt,
        prompt_sha256=entry.prompt_sha256,
        gold=entry.problem.gold,
        output=completion.output,
        pred=str(result["pred"]),
        status=str(result["status"]),
        finish_reason=completion.finish_reason,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        seed=entry.request.seed,
        mark=str(result.get("mark", "")),
    )
