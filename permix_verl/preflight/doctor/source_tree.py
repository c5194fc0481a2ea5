"""Names that a package's source defines, read without importing it: importing vLLM or verl takes many seconds."""

import ast
import importlib.util
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

LAZY = ("__getattr__", "_LazyModule")
"""Marks of a module that defines names on access."""


class SourceTree:
    """Source of an installed package.

    Args:
        package: top-level name.
        root: folder; default: where the package is installed.
    """

    def __init__(self, package: str, root: Path | None = None) -> None:
        self.package = package
        self._given = root

    @cached_property
    def root(self) -> Path | None:
        """Folder of the package; ``None`` if it is not installed."""
        if self._given is not None:
            return self._given
        spec = importlib.util.find_spec(self.package)
        folders = list(spec.submodule_search_locations or []) if spec else []
        return Path(folders[0]) if folders else None

    @property
    def is_installed(self) -> bool:
        return self.root is not None

    def parse(self, file: str) -> ast.Module:
        """Parse a file, given by its path in the package; a missing file gives an empty module."""
        path = self.root / file if self.root else None
        return ast.parse(path.read_bytes() if path and path.is_file() else b"")

    def defines(self, module: str, name: str) -> bool | None:
        """Return whether ``from module import name`` would work; ``None`` if the source does not tell."""
        if self.root is None:
            return None
        path = self.root.joinpath(*module.split(".")[1:])
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if not file.is_file():
            return None if path.is_dir() or list(path.parent.glob(f"{path.name}.*.so")) else False
        if path.is_dir() and ((path / name).is_dir() or list(path.glob(f"{name}.*"))):
            return True
        text = file.read_text(errors="replace")
        names = set(_bound_names(ast.parse(text).body))
        if name in names:
            return True
        return None if "*" in names or any(mark in text for mark in LAZY) else False

    def has_method(self, module: str, owner: str, method: str) -> bool | None:
        """Return whether a class defines or inherits a method in its file; ``None`` if the file does not tell."""
        tree = self.parse("/".join(module.split(".")[1:]) + ".py")
        classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        return _has_method(classes, owner, method) if owner in classes else None


def _has_method(classes: dict[str, ast.ClassDef], owner: str, method: str) -> bool | None:
    node = classes[owner]
    if method in set(_bound_names(node.body)):
        return True
    bases = [base.id if isinstance(base, ast.Name) else "" for base in node.bases]
    inherited = [_has_method(classes, base, method) if base in classes else None for base in bases if base != "object"]
    return True if True in inherited else (None if None in inherited else False)


def _bound_names(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that statements bind, including those inside ``if``, ``try`` and ``with``."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
        else:
            for inner in ("body", "orelse", "finalbody"):
                yield from _bound_names(getattr(node, inner, []))
            for handler in getattr(node, "handlers", []):
                yield from _bound_names(handler.body)


def module_imports(tree: ast.Module, package: str) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of a file's top-level imports from a package."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == package:
            yield from ((node.module, alias.name) for alias in node.names if alias.name != "*")


def dataclass_fields(tree: ast.Module, *classes: str) -> set[str]:
    """Return the field names of dataclasses."""
    return {
        field.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name in classes
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }


def assigned_keys(tree: ast.Module, function: str, variable: str) -> set[str]:
    """Return the keys of the dictionary literal that a function assigns to a variable."""
    return {
        key.value
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function
        for assign in ast.walk(node)
        if isinstance(assign, ast.Assign) and isinstance(assign.value, ast.Dict)
        if [target.id for target in assign.targets if isinstance(target, ast.Name)] == [variable]
        for key in assign.value.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }
