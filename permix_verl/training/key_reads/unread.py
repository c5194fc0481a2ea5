"""Keys of a configuration that no process of the run has read."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from permix_verl.config.compose import RunConfig, flatten
from permix_verl.training.key_reads.recorder import BY_TYPE, WHOLE

READ_BY_LAUNCHER = frozenset(
    f"{model}.{name}"
    for model in ("actor_rollout_ref.model", "model")
    for name in ("lora_rank", "lora_alpha", "target_modules", "lora_adapter_path")
) | {"trainer.nnodes", "trainer.n_gpus_per_node"}
"""Keys that the launcher reads: it makes the initial adapter, with rank and alpha, and starts SFT's ranks."""
_REFERENCE = re.compile(r"\$\{(?:oc\.select:)?([\w.]+)")
_LATE = re.compile(r"val_|\.val\b|valid|checkpoint|resume|save|ckpt|test_freq|load_|rollout_data_dir|del_local")
"""Keys that are read at the first validation, save or resume, or at the end."""
_CALL_S = 5e-7
"""Seconds of a look-up of a known key, measured: tests/integration/training/test_key_reads.py prints it."""


@dataclass(frozen=True)
class Reads:
    """Keys that the processes of a run have read.

    Attributes:
        keys: noted keys, as the recorder writes them.
        processes: number of processes that read any.
        lookups: look-ups of all processes.
        seconds: time in the recorder, summed over processes.
    """

    keys: frozenset[str]
    processes: int
    lookups: int
    seconds: float


def read_reads(folder: Path) -> Reads:
    """Read the files of a run's processes."""
    keys: set[str] = set()
    processes = lookups = 0
    seconds = 0.0
    for file in folder.glob("*.tsv"):
        lines = [line.split("\t") for line in file.read_text(errors="replace").splitlines()]
        whole = [line for line in lines if len(line) == 3]
        if not whole:
            continue
        processes += 1
        keys |= {line[0] for line in whole if line[0]}
        lookups += int(whole[-1][1])
        seconds += float(whole[-1][2])
    return Reads(frozenset(keys), processes, lookups, seconds + lookups * _CALL_S)


def unread_keys(config: RunConfig, reads: Iterable[str], keys: Iterable[str]) -> list[str]:
    """Return those of ``keys`` that nothing has read, not even through another key's interpolation."""
    raw = flatten(OmegaConf.to_container(config.node, resolve=False))  # type: ignore[arg-type]
    read = _expand(raw, _located(raw, reads)) | READ_BY_LAUNCHER
    return [key for key in keys if key in raw and key not in read]


def _located(raw: Mapping[str, Any], reads: Iterable[str]) -> set[str]:
    """Return the configuration's keys that noted keys stand for.

    A section that was cut out of its configuration has lost the beginning of its path: then every key with that end
    counts as read.
    """
    classes: dict[str, list[str]] = {}
    for key, value in raw.items():
        if key.endswith("._target_") and isinstance(value, str):
            classes.setdefault(value.rsplit(".", 1)[-1], []).append(key.removesuffix("._target_"))
    found: set[str] = set()
    for noted in reads:
        name = noted.removesuffix(WHOLE)
        if name.startswith(BY_TYPE):
            kind, _, field = name[1:].partition(".")
            names = [f"{section}.{field}" for section in classes.get(kind, ())]
        elif name in raw or any(key.startswith(f"{name}.") for key in raw):
            names = [name]
        else:
            names = [key for key in raw if key.endswith(f".{name}")]
        for one in names:
            found |= {one} & raw.keys()
            if noted.endswith(WHOLE):
                found |= {key for key in raw if key.startswith(f"{one}.")}
    return found


def _expand(raw: Mapping[str, Any], read: set[str]) -> set[str]:
    """Add the keys whose values others have by interpolation."""
    left, done = list(read), set(read)
    while left:
        value = raw[left.pop()]
        for target in _REFERENCE.findall(value) if isinstance(value, str) else ():
            new = {key for key in raw if key == target or key.startswith(f"{target}.")} - done
            done |= new
            left += new
    return done


def is_read_late(key: str) -> bool:
    """Return whether a key is read at a validation, save or resume only."""
    return bool(_LATE.search(key))


def warning_of(config: RunConfig, key: str, reads: Iterable[str]) -> str:
    """Return the line that names a key that the user set and nobody read."""
    near = suggestion(key, {noted.removesuffix(WHOLE) for noted in reads})
    value = config.given.get(key)
    return f"you set {key}={value}; nothing read it" + (f"; did you mean {near}?" if near else "")


def suggestion(key: str, read: Iterable[str]) -> str | None:
    """Return the read key whose name is most like this one's, or ``None``."""
    name, section = key.rpartition(".")[2], key.rpartition(".")[0]
    words = set(name.split("_"))

    def likeness(other: str) -> float:
        last, place = other.rpartition(".")[2], other.rpartition(".")[0]
        same_words = words == set(last.split("_"))
        named = 1.0 if same_words else difflib.SequenceMatcher(None, name, last).ratio()
        return named + 0.3 * difflib.SequenceMatcher(None, section, place).ratio()

    best = max((other for other in read if not other.startswith(BY_TYPE) and other != key), key=likeness, default=None)
    return best if best is not None and likeness(best) >= 0.9 else None
