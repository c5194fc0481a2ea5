"""Composition of a run's configuration: verl's own, the method's file, profile and preset, and the user's overrides.

verl's files are found without importing verl, so a composition takes a fraction of a second.
"""

import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from permix_verl.config.methods import METHODS
from permix_verl.config.quoting import quote_value
from permix_verl.config.resolvers import register
from permix_verl.errors import UserError, first_line

FOLDER = Path(__file__).resolve().parent
VERL_CONFIGS: Mapping[str, str] = {"grpo": "ppo_trainer", "sft": "sft_trainer_engine"}
"""Trainer -> name of verl's configuration."""
_LAST = ("permix.", "trainer.logger=")
"""Implied overrides that win against the user's: they hold what the user gave."""
_GROUPS = {"grpo": "grpo", "sft": "supervised"}
"""Trainer -> folder of its groups."""


class RunConfig(Mapping[str, Any]):
    """A composed configuration, read by dotted keys: ``config["data.train_batch_size"]``.

    A section is a dict, a list a list. Iteration yields the keys of the values, sections excluded.

    Attributes:
        node: the configuration as verl gets it: our interpolations are values, verl's are as in its files.
        trainer: "grpo" or "sft".
        given: key -> value of the overrides that the user gave.
        own: keys that the project's files or the user set, in verl's sections.
    """

    def __init__(self, node: DictConfig, trainer: str, given: Mapping[str, Any], own: Sequence[str]) -> None:
        self.node, self.trainer, self.given, self.own = node, trainer, dict(given), tuple(own)
        self._plain: dict[str, Any] = OmegaConf.to_container(node, resolve=True)  # type: ignore[assignment]

    def __getitem__(self, key: str) -> Any:
        value: Any = self._plain
        for part in key.split("."):
            if not isinstance(value, dict) or part not in value:
                raise KeyError(key)
            value = value[part]
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(flatten(self._plain))

    def __len__(self) -> int:
        return len(flatten(self._plain))

    def plain(self) -> dict[str, Any]:
        """Return the resolved configuration as nested dicts."""
        return self._plain


def flatten(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return dotted key -> value of nested dicts; an empty dict is a value."""
    flat: dict[str, Any] = {}
    for key, value in section.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        flat |= flatten(value, name) if isinstance(value, Mapping) and value else {name: value}
    return flat


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Return key -> value of Hydra overrides; as in Hydra, later ones win. A deletion's value is ``None``.

    Raises:
        UserError: an override that Hydra's grammar does not have.
    """
    values = {}
    for text in overrides:
        try:
            parsed = OverridesParser.create().parse_override(text)
        except HydraException as error:
            raise UserError(f"{text!r} is not a Hydra override ({first_line(error)})", "give KEY=VALUE") from None
        if parsed.is_sweep_override():
            raise UserError(f"{text}: several values", "give --multirun for a run of each, or quotes around one value")
        values[parsed.key_or_group] = _unquoted(parsed.value())
    return values


def _unquoted(value: Any) -> Any:
    """Return a parsed value with quoted strings as strings, at any depth."""
    if isinstance(value, dict):
        return {str(key): _unquoted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unquoted(item) for item in value]
    return getattr(value, "text", value)


def verl_folder() -> Path | None:
    """Return the folder of verl's configuration, or ``None`` if verl is not installed. verl is not imported."""
    spec = importlib.util.find_spec("verl")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "trainer" / "config"


def compose_verl(trainer: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Compose verl's configuration alone.

    Raises:
        UserError: verl is not installed, or the overrides do not fit.
    """
    return _compose(_verl_folder(), VERL_CONFIGS[trainer], trainer, overrides, overrides, ())


def compose_method(
    method: str, chosen: Sequence[str] = (), given: Sequence[str] = (), implied: Sequence[str] = ()
) -> RunConfig:
    """Compose a method's configuration.

    Args:
        method: one of ``METHODS``.
        chosen: overrides of profile, preset and ranks, which come first.
        given: the user's, knobs first.
        implied: overrides that follow from the others. verl's keys that the user gave win against them.

    Raises:
        UserError: an unknown method, profile, key or value; verl is not installed.
    """
    if method not in METHODS:
        raise UserError(f"unknown method {method!r}", f"known: {', '.join(METHODS)}")
    trainer = METHODS[method]
    groups = FOLDER / _GROUPS[trainer]
    register()
    last = [text for text in implied if text.startswith(_LAST)]
    first = [text for text in implied if text not in last]
    overrides = [*chosen, *first, *given, *last]
    return _compose(FOLDER, method, trainer, overrides, given, (groups, _verl_folder()))


def _verl_folder() -> Path:
    folder = verl_folder()
    if folder is None:
        raise UserError("verl is not installed", "pip install 'permix-verl[gpu]', or [cpu] on a machine without a GPU")
    return folder


def _compose(
    folder: Path, name: str, trainer: str, overrides: Sequence[str], given: Sequence[str], search: Sequence[Path]
) -> RunConfig:
    paths = ",".join(quote_value(f"file://{path}") for path in search)
    searching = [f"hydra.searchpath=[{paths}]"] if search else []
    user = parse_overrides(given)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(folder), version_base=None):
            config = compose(name, overrides=[*overrides, *searching])
        node = _resolve_ours(config)
        set_keys = parse_overrides(overrides)
        return RunConfig(node, trainer, user, _own_keys(node, trainer, set_keys) if search else tuple(user))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"the configuration does not compose: {_reason(error)}", _remedy(error)) from error


def _reason(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else None
    text = first_line(error)
    return f"{text} ({first_line(cause)})" if cause and first_line(cause) not in text else text


def _remedy(error: Exception) -> str:
    if "Could not find" in str(error):
        return "give one of those that it names"
    return "check the spelling and the value of the override"


def _resolve_ours(config: DictConfig) -> DictConfig:
    """Return the configuration with the interpolations of the project's files as values, and verl's as they are."""
    resolved = OmegaConf.to_container(config, resolve=True)
    raw = OmegaConf.to_container(config, resolve=False)
    node = OmegaConf.create(_merge(raw, resolved))
    OmegaConf.set_struct(node, True)
    return node  # type: ignore[return-value]


def _merge(raw: Any, resolved: Any) -> Any:
    if isinstance(raw, dict) and isinstance(resolved, dict):
        return {key: _merge(value, resolved[key]) for key, value in raw.items()}
    if isinstance(raw, list) and isinstance(resolved, list):
        return [_merge(one, other) for one, other in zip(raw, resolved, strict=True)]
    ours = isinstance(raw, str) and "${" in raw and ("permix." in raw or "${data.train_batch_size}" in raw)
    return resolved if ours else raw


def _own_keys(node: DictConfig, trainer: str, set_keys: Iterable[str]) -> tuple[str, ...]:
    """Return the keys in verl's sections that the project's files or overrides set, in the files' order."""
    ours = node.permix
    group = FOLDER / _GROUPS[trainer]
    profiles = ["gpu", "8xa5000"] if ours.profile == "8xa5000" else [ours.profile]  # 8xa5000 builds on gpu
    files = [group / "base.yaml", *(group / "profile" / f"{name}.yaml" for name in profiles)]
    files += sorted((group / "optimizer").glob("*.yaml"))
    keys: dict[str, None] = {}
    for file in files:
        section = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        keys |= dict.fromkeys(flatten(section))  # type: ignore[arg-type]
    there = flatten(OmegaConf.to_container(node, resolve=False))  # type: ignore[arg-type]
    wanted = [*keys, *set_keys]
    found: dict[str, None] = {}
    for key in wanted:
        inside = [name for name in there if name == key or name.startswith(f"{key}.")]
        found |= dict.fromkeys(inside)
    return tuple(key for key in found if not key.startswith(("permix.", "defaults", "hydra")))
