"""Pack: resolve for the target, fetch what it lacks, write a wheelhouse and its parts."""

import shutil
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from permix_verl.errors import UserError
from permix_verl.wheelhouse.fetch import build_project, fetch
from permix_verl.wheelhouse.installed import Installed, read_installed
from permix_verl.wheelhouse.manifest import (
    FILE,
    FOLDER,
    KINDS,
    PINS,
    Manifest,
    megabytes,
    project_requirements,
    remove_strays,
    whole_folder,
    write_whole,
)
from permix_verl.wheelhouse.packaging_names import canonicalize_name
from permix_verl.wheelhouse.parts import LIST, remove_parts, write_parts
from permix_verl.wheelhouse.resolve import Pin, Resolver, is_kept
from permix_verl.wheelhouse.target import Target

SHOWN = 12


@dataclass(frozen=True)
class Packing:
    """Request to pack.

    Attributes:
        root: checkout of the project.
        extras: extras of the project, ``cpu`` or ``gpu`` among them.
        have: file with the list of the target's packages.
        without: packages to leave out although others require them.
        part_bytes: size of the largest part; ``None``: no parts.
        dry_run: resolve and show, fetch nothing.
    """

    root: Path
    out: Path
    extras: tuple[str, ...]
    target: Target
    have: Path | None = None
    without: tuple[str, ...] = ()
    part_bytes: int | None = None
    dry_run: bool = False


@dataclass(frozen=True)
class Plan:
    """Resolution, sorted by what becomes of each package.

    Attributes:
        packed: to be fetched.
        kept: those that the target has in the same version.
        replaced: (pin, version there) of those that it has in another one.
        left_out: those that ``without`` takes away, with what they alone require.
    """

    packed: list[Pin]
    kept: list[Pin] = field(default_factory=list)
    replaced: list[tuple[Pin, str]] = field(default_factory=list)
    left_out: list[Pin] = field(default_factory=list)


def pack(packing: Packing, say: Callable[[str], None]) -> Manifest | None:
    """Pack; the same command goes on where one before it was stopped.

    Args:
        say: shows a line.

    Returns:
        The manifest; ``None`` after a dry run.

    Raises:
        UserError: an extra or a package that is not known, no set of versions that fits, or a file that cannot be had.
    """
    kinds = [extra for extra in packing.extras if extra in KINDS]
    if len(kinds) != 1:
        raise UserError(
            f"--extra {','.join(packing.extras)} must have one of {' and '.join(KINDS)}", "give --extra gpu"
        )
    pyproject = packing.root / "pyproject.toml"
    requirements = project_requirements(pyproject, packing.extras)
    have = read_installed(packing.have) if packing.have else {}
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch) if packing.dry_run else _work_folder(packing.out)
        say(f"resolving {', '.join(packing.extras)} for {packing.target}")
        plan = _plan(packing, pyproject, have, work)
    show(plan, have, say)
    if packing.dry_run:
        return None
    manifest = Manifest(
        kind=kinds[0],
        extras=packing.extras,
        python=packing.target.python_version,
        platform=packing.target.platform,
        project=canonicalize_name(tomllib.loads(pyproject.read_text())["project"]["name"]),
        requirements=requirements,
        have={pin.name: have[pin.name].version for pin in plan.kept},
        without=packing.without,
    )
    manifest = _fill(packing, plan, manifest, say)
    remove_parts(packing.out)
    if packing.part_bytes:
        parts = write_parts(packing.out / FOLDER, manifest, packing.out, packing.part_bytes)
        size = megabytes(part.size for part in parts)
        say(f"{len(parts)} parts and their list, {size}: {packing.out}/{parts[0].file} and on, {LIST}")
    shutil.rmtree(work)
    return manifest


def _work_folder(out: Path) -> Path:
    """Return the folder for the resolver's files; uv stays there for a command that goes on."""
    work = out / ".work"
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to --out {out}: {error.strerror}", "give another folder") from error
    return work


def _plan(packing: Packing, pyproject: Path, have: dict[str, Installed], work: Path) -> Plan:
    resolver = Resolver(work, packing.target, have)
    build = tomllib.loads(pyproject.read_text()).get("build-system", {}).get("requires", [])
    pins = resolver.resolve(pyproject, packing.extras, also=build)
    left_out: list[Pin] = []
    if packing.without:
        names = {pin.name for pin in pins}
        if unknown := [name for name in packing.without if name not in names]:
            raise UserError(
                f"--without {unknown[0]}: nothing requires it", "--dry-run without it lists what is required"
            )
        full, pins = pins, resolver.resolve(pyproject, packing.extras, also=build, without=packing.without)
        left_out = [pin for pin in full if pin.name not in {other.name for other in pins}]
    # A build of the project takes its requirements from the wheelhouse alone.
    needed = {_name(requirement) for requirement in build}
    kept = [pin for pin in pins if is_kept(pin, have) and pin.name not in needed]
    packed = [pin for pin in pins if pin not in kept]
    replaced = [(pin, have[pin.name].version) for pin in packed if pin.name in have and not is_kept(pin, have)]
    return Plan(packed, kept, replaced, [pin for pin in left_out if not is_kept(pin, have)])


def _name(requirement: str) -> str:
    end = next((n for n, letter in enumerate(requirement) if not (letter.isalnum() or letter in "-_.")), None)
    return canonicalize_name(requirement[:end])


def show(plan: Plan, have: dict[str, Installed], say: Callable[[str], None]) -> None:
    """Show what is packed, the largest first, and what is not."""
    ordered = sorted(plan.packed, key=lambda pin: -(pin.size or 0))
    for pin in ordered[:SHOWN]:
        say(f"  {megabytes([pin.size or 0]):>12}  {pin.name} {pin.version}")
    if len(ordered) > SHOWN:
        rest = ordered[SHOWN:]
        say(f"  {megabytes(pin.size or 0 for pin in rest):>12}  {len(rest)} more")
    say(f"{len(ordered)} packages to pack, {megabytes(pin.size or 0 for pin in ordered)}")
    if unknown := [pin.name for pin in ordered if pin.size is None]:
        say(f"  not counted, their index gives no sizes: {', '.join(unknown)}")
    if have:
        say(f"{len(plan.kept)} are kept as the target has them")
        for pin, there in plan.replaced:
            say(f"  {pin.name} {there} does not fit, or is of no index: {pin.version} is packed")
    for pin in plan.left_out:
        say(f"  left out: {pin.name} {pin.version}, {megabytes([pin.size or 0])}")


def _fill(packing: Packing, plan: Plan, manifest: Manifest, say: Callable[[str], None]) -> Manifest:
    """Make the wheelhouse's folder."""
    target = packing.out / FOLDER
    with whole_folder(target) as folder:
        wheels = fetch(plan.packed, folder, target, packing.target, say)
        say("  building the project's own wheel")
        wheels.append(build_project(packing.root, folder))
        manifest = Manifest(**{**vars(manifest), "wheels": tuple(sorted(wheels, key=lambda wheel: wheel.name))})
        write_whole(folder / PINS, manifest.pins())
        write_whole(folder / FILE, manifest.text())
        remove_strays(folder, {FILE, PINS, *(wheel.file for wheel in manifest.wheels)})
    say(f"{len(manifest.wheels)} wheels, {megabytes(wheel.size for wheel in manifest.wheels)}: {target}")
    return manifest
