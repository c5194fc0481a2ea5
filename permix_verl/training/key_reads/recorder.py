"""Note the configuration keys that this process reads, from OmegaConf nodes and verl's configuration classes.

Installed by the plugin in every process of a run whose environment names a folder. Each process appends to a file of
its own there: a line per key when it is first read, with the number of look-ups so far. Printing, copying, merging and
converting a configuration is no reading.
"""

import contextlib
import functools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

FOLDER_VARIABLE = "PERMIX_KEY_READS"
"""Environment variable with the folder."""
WHOLE = ".*"
"""End of a noted key whose plain dict was handed out: what is read of it cannot be seen."""
BY_TYPE = "@"
"""Beginning of a noted key whose section is known only by its class."""
_SEEN, _PATH, _EARLY = "_permix_seen", "_permix_path", "_permix_early"
_WATCHED_DICTS = ("lora",)
"""Fields with a plain dict of many settings, of which verl looks up some."""
_COUNT_EVERY = 4096
_state = threading.local()


class KeyReads:
    """Keys read in this process.

    Args:
        folder: where the file is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys: set[str] = set()
        self.lookups = 0
        self.seconds = 0.0  # in notes; a look-up of a known key takes a fraction of a microsecond
        self._pid = 0
        self._file: TextIO | None = None
        self._lock = threading.Lock()

    def note(self, key: str) -> None:
        """Note a key that was read."""
        began = time.perf_counter()
        with self._lock:
            if key not in self.keys:
                self.keys.add(key)
                self._write(key)
        self.seconds += time.perf_counter() - began

    def count(self) -> None:
        """Count a look-up."""
        self.lookups += 1
        if self.lookups % _COUNT_EVERY == 0:
            with self._lock:
                self._write("")

    def _write(self, key: str) -> None:
        try:
            if self._file is None or self._pid != os.getpid():  # a fork writes a file of its own
                self.folder.mkdir(parents=True, exist_ok=True)
                self._pid = os.getpid()
                self._file = (self.folder / f"{socket.gethostname()}-{self._pid}.tsv").open("a", buffering=1)
            self._file.write(f"{key}\t{self.lookups}\t{self.seconds:.6f}\n")
        except OSError:  # a full disk must not end a run for this
            self._file = None


@contextlib.contextmanager
def muted() -> Iterator[None]:
    """Count no look-up of the block as a reading."""
    depth = getattr(_state, "muted", 0)
    _state.muted = depth + 1
    try:
        yield
    finally:
        _state.muted = depth


def is_muted() -> bool:
    return bool(getattr(_state, "muted", 0))


def _mute(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def silent(*args: Any, **kwargs: Any) -> Any:
        with muted():
            return function(*args, **kwargs)

    return silent


class WatchedDict(dict[str, Any]):
    """A section of verl's configuration objects that notes its look-ups."""

    def __init__(self, values: Any, path: str, reads: KeyReads) -> None:
        super().__init__(values)
        self._path, self._reads = path, reads

    def __getitem__(self, key: str) -> Any:
        self._reads.note(f"{self._path}.{key}")
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self._reads.note(f"{self._path}.{key}")
        return super().get(key, default)

    def __reduce__(self) -> Any:
        return dict, (dict(self.items()),)  # another process notes the whole


def watch_omegaconf(reads: KeyReads) -> None:
    """Note the values that are looked up in OmegaConf's dictionaries."""
    from omegaconf import DictConfig, OmegaConf

    look_up = DictConfig._get_impl

    def noted(self: DictConfig, key: Any, *args: Any, **kwargs: Any) -> Any:
        value = look_up(self, key, *args, **kwargs)
        reads.count()
        seen = self.__dict__.get(_SEEN)
        if (seen is None or key not in seen) and not is_muted() and not isinstance(value, DictConfig):
            if seen is None:
                seen = self.__dict__[_SEEN] = set()
            seen.add(key)
            if key in (self.__dict__.get("_content") or ()):  # not a default of get()
                reads.note(str(self._get_full_key(key)))
        return value

    DictConfig._get_impl = noted  # type: ignore[method-assign]
    for name in ("merge", "unsafe_merge", "to_container", "to_object", "to_yaml", "resolve", "create", "structured"):
        setattr(OmegaConf, name, staticmethod(_mute(getattr(OmegaConf, name))))


def watch_hydra(module: Any) -> None:
    """Take the making of an object from its section for no reading; ``module`` is ``hydra.utils``."""
    module.instantiate = _mute(module.instantiate)


def watch_verl(reads: KeyReads, module: Any) -> None:
    """Note the fields that are read of verl's configuration objects; ``module`` is ``verl.utils.config``."""
    from verl.base_config import BaseConfig

    convert = module.omega_conf_to_dataclass
    read = object.__getattribute__

    def noted(self: Any, name: str) -> Any:
        value = read(self, name)
        if name[:1] != "_":
            fields = read(self, "__dict__")
            path = fields.get(_PATH)
            if path is None and name in fields:
                fields.setdefault(_EARLY, set()).add(name)  # while it is made: its __post_init__ may derive others
            elif name in fields:
                reads.count()
                seen = fields[_SEEN]
                if name not in seen and not is_muted():
                    seen.add(name)
                    if not isinstance(value, BaseConfig | WatchedDict):
                        reads.note(f"{path}.{name}{WHOLE if isinstance(value, dict) else ''}")
        return value

    @functools.wraps(convert)
    def converted(config: Any, *args: Any, **kwargs: Any) -> Any:
        with muted():
            made = convert(config, *args, **kwargs)
        if isinstance(made, BaseConfig):
            _give_path(made, _path_of(config), BaseConfig, reads)
        return made

    BaseConfig.__getattribute__ = noted
    module.omega_conf_to_dataclass = converted


def _path_of(config: Any) -> str:
    """Return the path of a section; empty if it was cut out of its configuration."""
    full = getattr(config, "_get_full_key", None)
    return str(full(None) or "") if full else ""


def _mute_repr(kind: type) -> None:
    """Take the printing of a class's objects for no reading; every dataclass has a ``__repr__`` of its own."""
    if "_permix_mute" not in vars(kind):
        kind.__repr__ = _mute(kind.__repr__)  # type: ignore[method-assign]
        kind._permix_mute = True  # type: ignore[attr-defined]


def _give_path(made: Any, path: str, kind: type, reads: KeyReads) -> None:
    fields = vars(made)
    fields[_PATH] = here = path or f"{BY_TYPE}{type(made).__name__}"
    fields[_SEEN] = set()
    _mute_repr(type(made))
    for name in fields.pop(_EARLY, ()):
        if not isinstance(fields.get(name), kind) and name not in _WATCHED_DICTS:
            reads.note(f"{here}.{name}{WHOLE if isinstance(fields.get(name), dict) else ''}")
    for name, value in list(fields.items()):
        if isinstance(value, kind):
            _give_path(value, f"{path}.{name}" if path else "", kind, reads)
        elif name in _WATCHED_DICTS and type(value) is dict:
            fields[name] = WatchedDict(value, f"{here}.{name}", reads)


def install() -> KeyReads | None:
    """Install the recorder if the environment names its folder; return it."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return None
    import wrapt

    reads = KeyReads(Path(folder))
    wrapt.register_post_import_hook(lambda _: watch_omegaconf(reads), "omegaconf")
    wrapt.register_post_import_hook(watch_hydra, "hydra.utils")
    wrapt.register_post_import_hook(lambda module: watch_verl(reads, module), "verl.utils.config")
    return reads
