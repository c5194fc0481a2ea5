"""Data sets that the field trains on: where they are on the hub, and in which fields problem and answer stand.

Fields, configurations and sizes are the published ones as far as they could be read without the hub; docs/data.md says
what was tried.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Preset:
    """How a data set is read.

    Attributes:
        hub_name: ``owner/name`` on the hub.
        question, answer: fields, with dots into structs; the content of the only user message of a list of messages.
        gold: form of the answer field (``permix_verl.data.golds``).
        configs: configurations on the hub, all of which are read; empty: the data set's only one.
        split: split that is read unless another is asked for.
        id_field: field of the row ids; ``None``: a hash of the content.
        solution: field of the worked solution, if it is not the answer field.
        problems: number of different problems of each split, for plans.
    """

    hub_name: str
    question: str = "problem"
    answer: str = "answer"
    gold: str = "field"
    configs: tuple[str, ...] = ()
    split: str = "train"
    id_field: str | None = None
    solution: str | None = None
    problems: Mapping[str, int] | None = None


_SUBJECTS = (
    *("algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory", "prealgebra"),
    "precalculus",
)
PRESETS: Mapping[str, Preset] = {
    "gsm8k": Preset("openai/gsm8k", "question", "answer", "hash", ("main",), problems={"train": 7473, "test": 1319}),
    "math": Preset(
        *("EleutherAI/hendrycks_math", "problem", "solution", "boxed", _SUBJECTS),
        problems={"train": 7500, "test": 5000},
    ),
    "math-500": Preset(
        "HuggingFaceH4/MATH-500", split="test", id_field="unique_id", solution="solution", problems={"test": 500}
    ),
    "dapo-math-17k": Preset(
        *("BytedTsinghua-SIA/DAPO-Math-17k", "prompt", "reward_model.ground_truth"),
        id_field="extra_info.index",
        problems={"train": 17917},  # in 1,791,700 rows
    ),
    "deepscaler": Preset("agentica-org/DeepScaleR-Preview-Dataset", solution="solution", problems={"train": 40315}),
    "openr1-math": Preset(
        "open-r1/OpenR1-Math-220k",
        configs=("default",),
        id_field="uuid",
        solution="solution",
        problems={"train": 93733},
    ),
    "big-math": Preset("SynthLabsAI/Big-Math-RL-Verified", problems={"train": 251122}),
    "numinamath": Preset(
        "AI-MO/NuminaMath-CoT", "problem", "solution", "boxed", problems={"train": 859494, "test": 100}
    ),
    "numinamath-1.5": Preset("AI-MO/NuminaMath-1.5", solution="solution", problems={"train": 896215}),
}
"""Name -> preset."""


def preset_of_hub_name(name: str) -> str | None:
    """Return the preset of a data set on the hub, whatever the case of its name."""
    return next((key for key, preset in PRESETS.items() if preset.hub_name.lower() == name.lower()), None)
