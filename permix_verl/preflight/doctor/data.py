"""Personas and problems: what is trained on must not be what is evaluated."""

from collections.abc import Iterator

from permix_verl.errors import UserError
from permix_verl.personas.mixing import development_personas
from permix_verl.personas.pool import check_disjoint, load_pool
from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning


def persona_pools(setup: Setup) -> Iterator[Finding]:
    """The pool reads, and shares no persona with those that are held out."""
    try:
        pool = load_pool(setup.personas)
        check_disjoint(pool, load_pool("eval"))
        held_out = development_personas(pool, setup.dev_personas, setup.number("data.seed", 0))
    except UserError as problem:
        text, _, remedy = str(problem).partition("; ")
        yield error(text, remedy or "give another pool (PERSONAS=...)")
        return
    development = f"; {len(held_out)} of them for validation alone: {', '.join(held_out)}" if held_out else ""
    yield ok(f"{len(pool)} personas, none of them the evaluation's{development}")


def prepared_rows(setup: Setup) -> Iterator[Finding]:
    """What an earlier call prepared: rows as they were written, that fit, without a persona that is held out.

    And the files that the user names in place of prepared ones.
    """
    import json

    import pyarrow.parquet as pq

    from permix_verl.data.dataset_folder import file_sha256

    yield from _named_files(setup)
    if setup.run_dir is None or not (setup.run_dir / "data" / "manifest.json").is_file():
        return
    folder = setup.run_dir / "data"
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, digest in manifest.get("sha256", {}).items():
        if not (folder / name).is_file() or file_sha256(folder / name) != digest:
            yield error(f"{folder / name} is not the file that its manifest names", f"remove {folder}; it is made anew")
            return
    trained = {key: n for key, n in manifest.get("train_rows_per_persona", {}).items() if n}
    leaked = sorted(trained.keys() & set(manifest.get("dev_personas", ())))
    if leaked:
        yield error(f"personas held out of training are in its rows: {', '.join(leaked)}", f"remove {folder}")
        return
    limit = setup.number("data.max_prompt_length", 0)
    longest = int(manifest.get("longest_prompt", 0))
    if limit and longest > limit:
        yield error(
            f"prompts of up to {longest} tokens, and verl would cut them at {limit}, the persona first",
            f"PROMPT_LENGTH={longest}",
        )
        return
    rows = pq.read_metadata(folder / "train.parquet").num_rows
    yield ok(f"{rows} training rows, prompts of up to {longest} tokens")


def _named_files(setup: Setup) -> Iterator[Finding]:
    from permix_verl.personas.pool import NO_PERSONA
    from permix_verl.runs.own_files import check_own_files

    if setup.run_dir is None or not setup.settings:
        return
    try:
        found = check_own_files(setup.settings, setup.run_dir, setup.trainer)
    except UserError as problem:
        text, _, remedy = str(problem).partition("; ")
        yield error(text, remedy or "name another file")
        return
    for split, personas in found.items():
        named = personas.total() - personas[NO_PERSONA]
        text = f"{personas.total()} {split} rows of the user's own, {named} of them under a persona"
        if split == "train" and not named:
            yield warning(text, "right for run_rlvr_grpo.sh alone; run_permix_grpo.sh refuses them")
        else:
            yield ok(text)
