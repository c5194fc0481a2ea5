"""Every import of ours exists, in files, in programs that tests and benchmarks hold as strings, and in the docs.

No linter reads the strings, and only a slow test runs them.
"""

import ast
import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("permix_verl", "tests", "reward_fns", "benchmarks")
FOLDERS = (*PACKAGES, "eval", "data_prep", "findings")
IMPORT = re.compile(r"(?:from permix_verl[\w.]* )?import [\w., ]*\w")


def programs(text: str) -> Iterator[ast.Module]:
    """Yield a module and each program that one of its strings holds."""
    module = ast.parse(text)
    yield module
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "import " in node.value:
            try:
                yield ast.parse(node.value)
            except SyntaxError:  # prose
                continue


@functools.cache
def bound_names(module: Path) -> set[str]:
    """Return the names that a module binds anywhere, and those that it serves lazily."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text())):
        match node:
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
                | ast.Name(id=name, ctx=ast.Store())
            ):
                names.add(name)
            case ast.Import() | ast.ImportFrom():
                names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
            case _:
                pass
    return names


def missing(program: ast.Module, package: Sequence[str] = ()) -> list[str]:
    """Return the imports of ours in ``program`` that name no module and nothing that a module binds.

    Args:
        package: folders of the program's file below the project's; without them relative imports are left out.
    """
    absent = []
    for node in ast.walk(program):
        if isinstance(node, ast.Import):
            wanted: list[tuple[str, str | None]] = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            wanted = [(node.module or "", alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and package:
            above = [*package[: len(package) - node.level + 1], *filter(None, [node.module])]
            wanted = [(".".join(above), alias.name) for alias in node.names]
        else:
            continue
        for module, name in wanted:
            if module.split(".")[0] in PACKAGES and not exists(module, name):
                absent.append(f"{module}: {name}")
    return absent


def exists(module: str, name: str | None) -> bool:
    path = ROOT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if name is None or name == "*":
        return path.is_dir() or file.is_file()
    if (path / name).is_dir() or (path / f"{name}.py").is_file():
        return True
    return file.is_file() and name in bound_names(file)


def package_of(file: Path) -> tuple[str, ...]:
    """Return the folders of a file below the project's."""
    return file.relative_to(ROOT).parent.parts


def missing_in(file: Path) -> list[str]:
    """Return the missing imports of a file and of the programs in its strings, which are in no package."""
    module, *strings = programs(file.read_text())
    return [*missing(module, package_of(file)), *(name for program in strings for name in missing(program))]


FILES = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py")) if file != Path(__file__)]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_import_of_ours_exists(folder: str) -> None:
    absent = {
        str(file.relative_to(ROOT)): names
        for file in FILES
        if file.is_relative_to(ROOT / folder) and (names := missing_in(file))
    }
    assert absent == {}


@pytest.mark.parametrize("page", ["README.md", *sorted(f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md"))])
def test_every_import_on_a_page_exists(page: str) -> None:
    if page == "docs/LOG.md":  # history: its names are those of their day
        return
    code = re.findall(r"`([^`\n]+)`|^ {0,8}(from .*|import .*)$", (ROOT / page).read_text(), re.MULTILINE)
    lines = [line for found in code for line in found if IMPORT.match(line)]
    assert [name for line in lines for name in missing(ast.parse(IMPORT.match(line)[0]))] == []  # type: ignore[index]


@pytest.mark.parametrize(
    "text",
    [
        "from permix_verl.code import Case",
        "import permix_verl.theory",
        "PROBE = '''\nfrom permix_verl.code import Case, Cases\n'''",
        "def f():\n    from permix_verl.nowhere import x",
    ],
)
def test_an_import_of_nothing_is_found(text: str) -> None:
    """Negative control."""
    assert [name for program in programs(text) for name in missing(program)]


def test_a_relative_import_of_nothing_is_found() -> None:
    """Negative control: a test file that takes a helper from where another file was before it moved."""
    e2e = ("tests", "e2e")
    assert missing(ast.parse("from ..fast.nowhere.test_recipes import recipe"), e2e)
    assert missing(ast.parse("from ..support.configs import nothing_of_this_name"), e2e)
    assert missing(ast.parse("from ..support.configs import config_of"), e2e) == []
