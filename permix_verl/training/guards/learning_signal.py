"""Detect runs without a learning signal: equal rewards, or completions that the reward cannot read."""

from collections.abc import Mapping, Sequence

from permix_verl.runs import metrics as m
from permix_verl.training.observability.persona_metrics import FLAGS

MIN_STEPS = 5
"""Fewest steps for a fault: in fewer, equal rewards may be chance, and three steps are a trial."""
UNSCORED_LIMIT = 0.95
"""Fraction of flagged rollouts (no answer, timeout, error) from which nothing can be learned."""

_FLAG_CAUSES = {
    "no_answer": "no answer could be read in {fraction} (no_answer): the likely causes are an answer mark that the "
    "prompt asks for and the model does not write, or a response length that truncates the completions{truncated}",
    "timeout": "the reward ran out of time in {fraction} (timeout): the likely causes are too few CPUs for its "
    "workers, or a time limit that is too short for these completions",
    "error": "the reward failed in {fraction} (error): the likely causes are gold answers that it cannot read, or a "
    "fault of the reward function; see the run's log",
}
"""Flag of the reward -> message."""


def diagnose_no_signal(metrics: m.Metrics) -> str | None:
    """Return why a run had nothing to learn from, in one line; ``None`` if it had, or is not trained by rewards.

    Args:
        metrics: metrics of the run, or of its steps so far.
    """
    steps = [values for values in m.training_steps(metrics).values() if m.REWARD in values]
    if not steps:
        return None
    cause = _unscored_cause(steps) or _equal_rewards_cause(steps)
    return f"nothing to learn from, {cause}" if cause else None


def _unscored_cause(steps: Sequence[Mapping[str, float]]) -> str | None:
    rates = {flag: [values.get(f"reward/{flag}_rate", 0.0) for values in steps] for flag in FLAGS}
    unscored = [sum(step_rates) for step_rates in zip(*rates.values(), strict=True)]
    # The last steps count too: a model may learn late to write a readable answer.
    if not (_mean(unscored) >= UNSCORED_LIMIT and _mean(unscored[-MIN_STEPS:]) >= UNSCORED_LIMIT):
        return None
    flag = max(FLAGS, key=lambda flag: _mean(rates[flag]))
    fraction = f"{_mean(rates[flag]):.1%} of the rollouts of {_steps(len(steps))}"
    return _FLAG_CAUSES[flag].format(fraction=fraction, truncated=_truncated(steps))


def _equal_rewards_cause(steps: Sequence[Mapping[str, float]]) -> str | None:
    rewards = {round(values[m.REWARD], 6) for values in steps}
    if len(rewards) != 1 or not all(_all_equal(values) for values in steps):
        return None
    (reward,) = rewards
    causes = {
        0.0: "wrong gold answers or data, an answer mark that the prompt asks for and the model does not write, a "
        f"response length that truncates the completions{_truncated(steps)}, or problems that are too hard for the "
        "model",
        1.0: "that the problems are too easy for the model",
    }
    cause = causes.get(reward, "a reward function that ignores the answer")
    return f"every reward of {_steps(len(steps))} is {reward:g}: the likely cause is {cause}"


def _all_equal(values: Mapping[str, float]) -> bool:
    if m.REWARD_MIN in values and m.REWARD_MAX in values:
        return values[m.REWARD_MIN] == values[m.REWARD_MAX]
    # Rewards of 0 or 1 are all equal if their mean is 0 or 1.
    return values[m.REWARD] in (0.0, 1.0) and values.get("reward/zero_variance_groups") == 1.0


def _truncated(steps: Sequence[Mapping[str, float]]) -> str:
    fractions = [values[m.TRUNCATED] for values in steps if m.TRUNCATED in values]
    return f" ({_mean(fractions):.0%} of the responses are at the limit)" if fractions else ""


def _steps(count: int) -> str:
    return "one step" if count == 1 else f"all {count} steps"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
