r"""Answer correctness, and how far a right answer adopts its persona.

verl:  reward.custom_reward_function.path=pkg://permix_verl.reward_fns.persona_reward
       reward.custom_reward_function.name=compute_score_async
       +reward.custom_reward_function.reward_kwargs.style=markers          (or likelihood, or MODULE:CLASS)
       +reward.custom_reward_function.reward_kwargs.style_settings={...}   (of the scorer)
       +reward.custom_reward_function.reward_kwargs.weight=0               (of the style in the score)

The keys are those of ``math_reward.py``, and in training rows with a persona also

    style             the scorer's number for a right answer; NaN for any other, and where the scorer failed
    style_error       1.0 if the scorer failed, else 0.0
    score             acc, plus ``weight`` times the style if there is one

Style counts among right answers alone: a wrong answer in character scores 0. With ``permix.style`` (docs/methods.md)
the weight is 0, and accuracy and style are normalised apart. A scorer that fails leaves the sample without a style,
never with one of 0, which would punish the answer for the scorer's fault.

A scorer is a class with ``async def score(persona, question, solution) -> float | None``. Its process is one of verl's
reward workers; it is made at the first right answer.

Needs: permix-verl, and what the scorer needs.
"""

import asyncio
import importlib
import json
import math
import sys
import threading

from permix_verl.personas.persona import NO_PERSONA
from permix_verl.reward_fns import math_reward

SCORERS = {
    "markers": "permix_verl.lab.marker_style:MarkerStyle",
    "likelihood": "permix_verl.fidelity.likelihood.style:LikelihoodStyle",
}
"""Short name -> class of a style scorer."""

_lock = threading.Lock()
_scorers: dict = {}


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **settings):
    """Score one solution outside of an event loop; arguments and result as of :func:`compute_score_async`."""
    return asyncio.run(compute_score_async(data_source, solution_str, ground_truth, extra_info, **settings))


async def compute_score_async(
    data_source, solution_str, ground_truth, extra_info=None, style="markers", style_settings=None, weight=0.0, **more
):
    """Score one solution.

    Args:
        data_source, solution_str, ground_truth, more: as of ``math_reward.compute_score``.
        extra_info: the row's; ``persona`` and ``question`` are used, and ``split``.
        style: a name of :data:`SCORERS`, or ``MODULE:CLASS``.
        style_settings: keyword arguments of the scorer.
        weight: of the style in ``score``.

    Returns:
        The keys that the file's docstring lists.

    Raises:
        ValueError: no such scorer, or settings that do not fit it.
    """
    result = await math_reward.compute_score_async(data_source, solution_str, ground_truth, extra_info, **more)
    info = extra_info or {}
    if str(info.get("split", "train")) != "train":
        return result
    value, failed = None, False
    if result["acc"] == 1.0 and str(info.get("persona", NO_PERSONA)) != NO_PERSONA:
        scorer = load_scorer(style, style_settings)
        value, failed = await _style(scorer, info, solution_str)
    found = float("nan") if value is None else float(value)
    score = result["score"] if math.isnan(found) else result["score"] + weight * found
    return {**result, "score": score, "style": found, "style_error": float(failed)}


async def _style(scorer, info, solution):
    """The style of a right answer, and whether the scorer failed."""
    try:
        return await scorer.score(str(info["persona"]), str(info.get("question", "")), solution), False
    except Exception as error:
        print(f"permix_verl: no style of row {info.get('row_id')}: {error!r}", file=sys.stderr)
        return None, True


def load_scorer(style, settings=None):
    """Return this process's scorer of a name and settings.

    Raises:
        ValueError: no such scorer, or settings that do not fit it.
    """
    place, settings = SCORERS.get(style, style), dict(settings or {})
    key = json.dumps([place, settings], sort_keys=True, default=str)
    with _lock:
        if key not in _scorers:
            module, _, name = place.partition(":")
            try:
                _scorers[key] = getattr(importlib.import_module(module), name)(**settings)
            except (ImportError, AttributeError, TypeError, ValueError) as error:
                known = ", ".join(SCORERS)
                raise ValueError(
                    f"style {style!r} with {settings} cannot be scored ({error}); known: {known}, MODULE:CLASS"
                ) from error
        return _scorers[key]
