"""Settings of mixing personas into rows in verl's schema: of ``permix mix``, and of ``data.permix`` at load time."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from permix_verl.data.system_message import check_policy
from permix_verl.errors import UserError
from permix_verl.personas.mixing import PersonaDraw, development_personas
from permix_verl.personas.pool import check_disjoint, load_pool

NODE = "permix"
"""Section of verl's ``data`` with the settings of mixing at load time."""


@dataclass(frozen=True)
class MixSettings:
    """Settings of a mix; with (epoch, row id) they determine each row's persona.

    Attributes:
        pool: packaged pool, or a JSON Lines file of personas.
        seed: persona seed.
        no_persona_probability: expected fraction of (epoch, row) pairs without a persona; 1 leaves all prompts as
            they are.
        dev_personas: personas of the pool that no row gets (``development_personas``): a number, or keys.
        system_message: policy for own system messages (``permix_verl.data.system_message``).
        id_field: field with the row ids; ``None``: the rules of ``permix_verl.data.row_ids``; ``content``: a hash of
            each row, whatever ids it has.
    """

    pool: str
    seed: int = 0
    no_persona_probability: float = 0.0
    dev_personas: str = ""
    system_message: str = "refuse"
    id_field: str | None = None

    def __post_init__(self) -> None:
        check_policy(self.system_message)

    def draw(self, epoch: int = 0) -> PersonaDraw:
        """Return the persona draw.

        Raises:
            UserError: a pool that cannot be read or shares a persona with the evaluation pool; unknown development
                personas; a probability outside 0 to 1.
        """
        pool = load_pool(self.pool)
        check_disjoint(pool, load_pool("eval"))
        held_out = development_personas(pool, self.dev_personas, self.seed)
        return PersonaDraw(pool, self.seed, self.no_persona_probability, epoch, held_out)

    @property
    def mixes(self) -> bool:
        """Whether any row gets a persona."""
        return self.no_persona_probability < 1


def read_mix_settings(data: Mapping[str, Any]) -> MixSettings | None:
    """Return the settings in verl's ``data`` section; ``None`` without ``data.permix``.

    Raises:
        UserError: no pool, an unknown key, or a value of another type.
    """
    node = data.get(NODE)
    if node is None:
        return None
    given: dict[str, Any] = {str(key): value for key, value in node.items() if value is not None}
    fields = {field.name: field for field in dataclasses.fields(MixSettings)}
    if unknown := [key for key in given if key not in fields]:
        raise UserError(f"data.permix.{unknown[0]} is no setting of mixing", f"known: {', '.join(fields)}")
    if "pool" not in given:
        raise UserError("data.permix has no pool", "set data.permix.pool to a packaged pool or a .jsonl of personas")
    if not isinstance(given.get("seed", 0), int):
        raise UserError(f"data.permix.seed={given['seed']} is not an integer", "give one")
    probability = given.get("no_persona_probability", 0.0)
    if isinstance(probability, bool) or not isinstance(probability, int | float):
        raise UserError(f"data.permix.no_persona_probability={probability} is not a number", "give one from 0 to 1")
    texts = {key: str(given[key]) for key in ("pool", "dev_personas", "system_message", "id_field") if key in given}
    return MixSettings(seed=given.get("seed", 0), no_persona_probability=float(probability), **texts)


def reads_validation(files: Sequence[str], data: Mapping[str, Any]) -> bool:
    """Return whether a dataset of these files is a run's validation; verl gives both datasets one configuration.

    Args:
        files: the dataset's files.
        data: verl's ``data`` section.
    """
    validation, training = (_listed(data.get(key)) for key in ("val_files", "train_files"))
    return bool(validation) and list(files) == validation and validation != training


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
