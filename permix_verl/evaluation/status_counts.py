"""Numbers of samples by status."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from permix_verl.chat_templates.reading import Reading
from permix_verl.evaluation.sample_store import Sample
from permix_verl.reward_fns.math_reward import STRICT_MARKS


@dataclass(frozen=True, slots=True)
class StatusCounts:
    """Numbers of samples of one condition by status.

    Attributes:
        truncated: completions that ended at the token limit, whatever their status.
        strict: correct samples with a mark of ``STRICT_MARKS``.
        truncated_thoughts: completions that ended inside a thought, and have no answer.
    """

    samples: int
    correct: int
    wrong: int
    no_answer: int
    timeout: int
    error: int
    truncated: int
    strict: int
    truncated_thoughts: int = 0

    @property
    def parsed(self) -> int:
        """The number of samples whose final answer was read."""
        return self.correct + self.wrong


def count_statuses(samples: Sequence[Sample], reading: Reading) -> StatusCounts:
    """Count samples by status.

    Args:
        reading: how thoughts are told from answers.
    """
    counts = Counter(sample.status for sample in samples)
    return StatusCounts(
        samples=len(samples),
        **{status: counts[status] for status in ("correct", "wrong", "no_answer", "timeout", "error")},
        truncated=sum(sample.finish_reason == "length" for sample in samples),
        strict=sum(sample.status == "correct" and sample.mark in STRICT_MARKS for sample in samples),
        truncated_thoughts=sum(reading.is_cut_off(s.output, s.prompt, s.finish_reason) for s in samples),
    )
