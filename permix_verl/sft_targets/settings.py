"""What a supervised data set is made of, and what its arm is called."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from permix_verl.data.prepare import Preparation
from permix_verl.sft_targets.generate import Fate

Kind = Literal["gt", "styled", "teacher"]

USABLE: Mapping[Kind, frozenset[Fate]] = {
    # A rewriter that changes the answer has not rewritten; a teacher is imitated as it is (Kim and Rush, 2016).
    "styled": frozenset({"right"}),
    "teacher": frozenset({"right", "wrong"}),
}
"""Fates of texts that become targets. One that was cut off has no end, and would teach to stop in the middle."""


@dataclass(frozen=True)
class SupervisedPreparation(Preparation):
    """What to prepare.

    Attributes:
        kind: where targets come from: the data set, a rewriter, a teacher.
        answer_format: of ground-truth targets; see :data:`~permix_verl.sft_targets.ground_truth.FORMATS`.
        max_length: most tokens of prompt, target and end of turn (the paper's Tables 5 and 6).
        val_source: problems for the held-out loss, in place of some held out of the training problems.
        only_right: whether targets with a wrong answer are left out.
        keep_going: whether rows whose request failed are left out, in place of an error.
        price: dollars for a million tokens of prompt and of completion, for the cost that is printed.
    """

    kind: Kind = "gt"
    answer_format: str = "boxed"
    max_length: int = 2048
    val_source: str | None = None
    only_right: bool = False
    keep_going: bool = False
    price: tuple[float, float] | None = None


def arm_name(settings: SupervisedPreparation) -> str:
    """The arm as the paper's tables call it."""
    persona = settings.no_persona_probability < 1
    if settings.kind == "teacher":
        return "SeqKD, persona-mixed" if persona else "SeqKD"
    return ("PerMix-SFT, styled" if settings.kind == "styled" else "PerMix-SFT, ground truth") if persona else "SFT"
