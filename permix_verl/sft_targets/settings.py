"""Settings of a supervised data set, and the name of its method."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from permix_verl.data.preparation import Preparation
from permix_verl.sft_targets.generate import TargetStatus

Kind = Literal["gt", "styled", "teacher"]

USABLE_STATUSES: Mapping[Kind, frozenset[TargetStatus]] = {
    # A rewriter must keep the answer; a teacher is imitated with its errors (Kim and Rush, 2016, arXiv 1606.07947).
    "styled": frozenset({"right"}),
    "teacher": frozenset({"right", "wrong"}),
}
"""Statuses of texts that become targets. A truncated text has no end, and would teach the model to stop midway."""


@dataclass(frozen=True)
class SupervisedPreparation(Preparation):
    """Settings of a supervised data set.

    Attributes:
        kind: source of the targets: ``gt`` the data set, ``styled`` a rewriter, ``teacher`` a teacher model.
        answer_format: format of ground-truth targets; see :data:`~permix_verl.sft_targets.ground_truth.FORMATS`.
        max_length: most tokens of prompt, target and end of turn (Tables 5 and 6 of arXiv 2604.08986).
        val_source: problems for the validation loss; ``None`` holds some out of the training problems.
        only_right: leave out targets with a wrong final answer.
        keep_going: leave out rows whose request failed, in place of an error.
        price: dollars per million prompt tokens and per million completion tokens, for the printed cost.
    """

    kind: Kind = "gt"
    answer_format: str = "boxed"
    max_length: int = 2048
    val_source: str | None = None
    only_right: bool = False
    keep_going: bool = False
    price: tuple[float, float] | None = None


def method_name(settings: SupervisedPreparation) -> str:
    """Return the method's name in the paper's tables."""
    persona = settings.no_persona_probability < 1
    if settings.kind == "teacher":
        return "SeqKD, persona-mixed" if persona else "SeqKD"
    return ("PerMix-SFT, styled" if settings.kind == "styled" else "PerMix-SFT, ground truth") if persona else "SFT"
