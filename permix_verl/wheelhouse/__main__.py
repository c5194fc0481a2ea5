"""Command line of ``recipes/wheelhouse.sh``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from permix_verl.errors import exit_with_message
from permix_verl.wheelhouse.manifest import FOLDER, megabytes
from permix_verl.wheelhouse.parts import parse_size
from permix_verl.wheelhouse.target import DEFAULT_GLIBC, PLATFORMS, parse_target
from permix_verl.wheelhouse.unpack import check, unpack

ROOT = Path(__file__).resolve().parents[2]
"""Root folder of the checkout."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wheelhouse.sh",
        description="Gather the project's packages for a machine without a network, and unpack them there.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    packing = verbs.add_parser("pack", help="where there is a network: resolve, fetch, write parts")
    add = packing.add_argument
    add("--extra", required=True, metavar="EXTRAS", help="cpu or gpu; more after commas, such as gpu,qlora,test")
    add("--python", required=True, metavar="VERSION", help="Python of the target: 3.11 or 3.12")
    add(
        "--platform",
        default="linux_x86_64",
        help=f"{PLATFORMS} (default: linux_x86_64, which is glibc 2.{DEFAULT_GLIBC})",
    )
    add(
        "--have", type=Path, metavar="FILE", help="what python -m pip inspect (or list, or freeze) prints on the target"
    )
    add(
        "--without",
        default="",
        metavar="NAMES",
        help="packages to leave out although others require them (docs/offline.md)",
    )
    add("--parts", metavar="SIZE", help="also write it as files of at most this size, such as 60M")
    add("--out", type=Path, required=True, metavar="DIR", help=f"DIR/{FOLDER} has the wheels, DIR the parts")
    add("--dry-run", action="store_true", help="list packages and sizes, fetch nothing")
    unpacking = verbs.add_parser("unpack", help="on the target: join the parts, check every hash")
    unpacking.add_argument("folder", type=Path, metavar="DIR", help="folder with the parts, or a wheelhouse to check")
    unpacking.add_argument("--to", type=Path, metavar="WHEELHOUSE", help=f"default: DIR/{FOLDER}")
    checking = verbs.add_parser("check", help="can this Python install from it? setup_env.sh asks")
    checking.add_argument("folder", type=Path, metavar="WHEELHOUSE")
    checking.add_argument("--extras", default="", help="extras that are wanted (default: all that were packed)")
    return parser


def _say(line: str) -> None:
    print(line, flush=True)


def _pack(args: argparse.Namespace) -> None:
    from permix_verl.wheelhouse.pack import Packing, pack  # needs pip; the other commands do not
    from permix_verl.wheelhouse.packaging_names import canonicalize_name

    packing = Packing(
        root=ROOT,
        out=args.out,
        extras=_words(args.extra),
        target=parse_target(args.python, args.platform),
        have=args.have,
        without=tuple(canonicalize_name(name) for name in _words(args.without)),
        part_bytes=parse_size(args.parts) if args.parts else None,
        dry_run=args.dry_run,
    )
    pack(packing, _say)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Raises:
        UserError: see :func:`~permix_verl.wheelhouse.pack.pack`, :func:`unpack` and :func:`check`.
    """
    args = _parser().parse_args(argv)
    if args.verb == "pack":
        _pack(args)
    elif args.verb == "unpack":
        folder, manifest = unpack(args.folder, args.to)
        size = megabytes(wheel.size for wheel in manifest.wheels)
        _say(f"{len(manifest.wheels)} wheels, {size}, all hashes right: {folder}")
        _say(f"next: WHEELHOUSE={folder} bash recipes/setup_env.sh (or any recipe), with Python {manifest.python}")
    else:
        manifest, packages = check(args.folder, ROOT / "pyproject.toml", _words(args.extras))
        _say(f"{'--no-deps' if manifest.without else 'deps'} {packages}")
    return 0


if __name__ == "__main__":
    exit_with_message(lambda: main(sys.argv[1:]))
