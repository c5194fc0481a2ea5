"""What a package's source defines, read without importing it: an import of vLLM or verl takes many seconds."""

import ast
import importlib.util
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

LAZY = ("__getattr__", "_LazyModule")
"""Of a module that makes its names when they are asked for."""


class SourceTree:
    """The source of an installed package.

    Args:
        package: its top-level name.
        root: its folder, where it is not to be looked for.
    """

    def __init__(self, package: str, root: Path | None = None) -> None:
        self.package = package
        self._given = root

    @cached_property
    def root(self) -> Path | None:
        """Its folder; ``None`` where it is not installed."""
        if self._given is not None:
            return self._given
        spec = importlib.util.find_spec(self.package)
        folders = list(spec.submodule_search_locations or []) if spec else []
        return Path(folders[0]) if folders else None

    @property
    def found(self) -> bool:
        return self.root is not None

    def parse(self, file: str) -> ast.Module:
        """A file by its path in the package; an empty module where there is none."""
        path = self.root / file if self.root else None
        return ast.parse(path.read_bytes() if path and path.is_file() else b"")

    def defines(self, module: str, name: str) -> bool | None:
        """Whether ``from module import name`` finds something; ``None`` where the source does not say."""
        if self.root is None:
            return None
        place = self.root.joinpath(*module.split(".")[1:])
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if not file.is_file():
            return None if place.is_dir() or list(place.parent.glob(f"{place.name}.*.so")) else False
        if place.is_dir() and ((place / name).is_dir() or list(place.glob(f"{name}.*"))):
            return True
        text = file.read_text(errors="replace")
        names = set(_bound(ast.parse(text).body))
        if name in names:
            return True
        return None if "*" in names or any(mark in text for mark in LAZY) else False

    def has_method(self, module: str, owner: str, method: str) -> bool | None:
        """Whether a class has a method of its own or of a base in the same file; ``None`` where that is not said."""
        tree = self.parse("/".join(module.split(".")[1:]) + ".py")
        classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        return _has(classes, owner, method) if owner in classes else None


def _has(classes: dict[str, ast.ClassDef], owner: str, method: str) -> bool | None:
    node = classes[owner]
    if method in set(_bound(node.body)):
        return True
    bases = [base.id if isinstance(base, ast.Name) else "" for base in node.bases]
    found = [_has(classes, base, method) if base in classes else None for base in bases if base != "object"]
    return True if True in found else (None if None in found else False)


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    """Names that statements bind, those within ``if``, ``try`` and ``with`` among them."""
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
                yield from _bound(getattr(node, inner, []))
            for handler in getattr(node, "handlers", []):
                yield from _bound(handler.body)


def module_imports(tree: ast.Module, package: str) -> Iterator[tuple[str, str]]:
    """(module, name) of what a file imports from a package whenever it is imported itself."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == package:
            yield from ((node.module, alias.name) for alias in node.names if alias.name != "*")


def fields_of(tree: ast.Module, *classes: str) -> set[str]:
    """Names of the fields of dataclasses."""
    return {
        field.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name in classes
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }


def keys_given(tree: ast.Module, function: str, variable: str) -> set[str]:
    """Keys of the dictionary that a function writes down for a variable of its own."""
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
