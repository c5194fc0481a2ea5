"""Whether there was anything to learn from: rewards that differ, answers that the reward can read."""

from collections.abc import Mapping, Sequence

from permix_verl.runs import metrics as m
from permix_verl.training.observability.persona_metrics import FLAGS

ENOUGH_STEPS = 5
"""Steps from which it is a fault. In fewer, equal rewards may be chance, and a trial of three steps is no training."""
NEARLY_ALL = 0.95
"""Share of the rollouts that are no verdict on an answer, from which nothing can be learned."""

_UNREAD = {
    "no_answer": "no answer could be read in {share} (no_answer): the likely causes are an answer mark that the prompt "
    "asks for and the model does not write, or a response length that cuts the answers{cut}",
    "timeout": "the reward ran out of time in {share} (timeout): the likely causes are too few CPUs for its workers, "
    "or a time limit that is too short for these answers",
    "error": "the reward failed in {share} (error): the likely causes are gold answers that it cannot read, or a fault "
    "of the reward function; see the run's log",
}
"""What to say of each flag of the reward."""


def nothing_to_learn(metrics: m.Metrics) -> str | None:
    """Why a run had nothing to learn from, in one line; ``None`` where it had, or is not trained by rewards.

    Args:
        metrics: of the run, or of its steps so far.
    """
    steps = [values for values in m.training_steps(metrics).values() if m.REWARD in values]
    if not steps:
        return None
    found = _unread(steps) or _all_equal(steps)
    return f"nothing to learn from, {found}" if found else None


def _unread(steps: Sequence[Mapping[str, float]]) -> str | None:
    rates = {flag: [values.get(f"reward/{flag}_rate", 0.0) for values in steps] for flag in FLAGS}
    unread = [sum(of_step) for of_step in zip(*rates.values(), strict=True)]
    # The last steps too: a model may learn late to write what can be read.
    if not (_mean(unread) >= NEARLY_ALL and _mean(unread[-ENOUGH_STEPS:]) >= NEARLY_ALL):
        return None
    flag = max(FLAGS, key=lambda flag: _mean(rates[flag]))
    share = f"{_mean(rates[flag]):.1%} of the rollouts of {_steps(len(steps))}"
    return _UNREAD[flag].format(share=share, cut=_cut(steps))


def _all_equal(steps: Sequence[Mapping[str, float]]) -> str | None:
    rewards = {round(values[m.REWARD], 6) for values in steps}
    if len(rewards) != 1 or not all(_equal_in(values) for values in steps):
        return None
    (reward,) = rewards
    causes = {
        0.0: "wrong gold answers or data, an answer mark that the prompt asks for and the model does not write, a "
        f"response length that cuts the answers{_cut(steps)}, or problems that are too hard for the model",
        1.0: "that the problems are too easy for the model",
    }
    cause = causes.get(reward, "a reward function that does not look at the answer")
    return f"every reward of {_steps(len(steps))} is {reward:g}: the likely cause is {cause}"


def _equal_in(values: Mapping[str, float]) -> bool:
    if m.REWARD_MIN in values and m.REWARD_MAX in values:
        return values[m.REWARD_MIN] == values[m.REWARD_MAX]
    # Of rewards that are 0 or 1, the mean tells.
    return values[m.REWARD] in (0.0, 1.0) and values.get("reward/zero_variance_groups") == 1.0


def _cut(steps: Sequence[Mapping[str, float]]) -> str:
    shares = [values[m.CUT] for values in steps if m.CUT in values]
    return f" ({_mean(shares):.0%} of the responses are at the limit)" if shares else ""


def _steps(count: int) -> str:
    return "one step" if count == 1 else f"all {count} steps"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
