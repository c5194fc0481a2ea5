"""Checks of personas and data: training must not use what is held out for evaluation."""

from collections.abc import Iterator

from permix_verl.errors import UserError
from permix_verl.personas.mixing import development_personas
from permix_verl.personas.pool import check_disjoint, load_pool
from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning


def persona_pools(setup: Setup) -> Iterator[Finding]:
    """Check that the pool can be read and shares no persona with the evaluation pool."""
    try:
        pool = load_pool(setup.personas)
        check_disjoint(pool, load_pool("eval"))
        held_out = development_personas(pool, setup.dev_personas, setup.number("data.seed", 0))
    except UserError as problem:
        yield error(problem.problem, problem.remedy or "give another pool (PERSONAS=...)")
        return
    development = f"; {len(held_out)} of them held out for validation: {', '.join(held_out)}" if held_out else ""
    yield ok(f"{len(pool)} personas, none of them in the evaluation pool{development}")


def prepared_rows(setup: Setup) -> Iterator[Finding]:
    """Check data prepared earlier: unchanged files, prompts within the limit, no rows of held-out personas.

    Files that the user names instead are checked too.
    """
    import json

    import pyarrow.parquet as pq

    from permix_verl.utils.files import file_sha256

    yield from _named_files(setup)
    if setup.run_dir is None or not (setup.run_dir / "data" / "manifest.json").is_file():
        return
    folder = setup.run_dir / "data"
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, digest in manifest.get("sha256", {}).items():
        if not (folder / name).is_file() or file_sha256(folder / name) != digest:
            yield error(f"{folder / name} is not the file in its manifest", f"remove {folder}; it is prepared again")
            return
    trained = {key: n for key, n in manifest.get("train_rows_per_persona", {}).items() if n}
    leaked = sorted(trained.keys() & set(manifest.get("dev_personas", ())))
    if leaked:
        yield error(f"training rows have held-out personas: {', '.join(leaked)}", f"remove {folder}")
        return
    limit = setup.number("data.max_prompt_length", 0)
    longest = int(manifest.get("longest_prompt", 0))
    if limit and longest > limit:
        yield error(
            f"prompts have up to {longest} tokens, and verl would truncate them to {limit}, the persona first",
            f"set PROMPT_LENGTH={longest}",
        )
        return
    rows = pq.read_metadata(folder / "train.parquet").num_rows
    yield ok(f"{rows} training rows, prompts of up to {longest} tokens")


def _named_files(setup: Setup) -> Iterator[Finding]:
    from permix_verl.personas.pool import NO_PERSONA
    from permix_verl.preflight.doctor.own_prompts import mixed_prompts
    from permix_verl.runs.own_files import check_own_files

    if setup.run_dir is None or not setup.settings:
        return
    try:
        rows_by_split = check_own_files(setup.settings, setup.run_dir, setup.trainer)
    except UserError as problem:
        yield error(problem.problem, problem.remedy or "name another file")
        return
    for split, rows in rows_by_split.items():
        text = rows.sentence(split)
        if split == "train" and not rows.mix and rows.personas[NO_PERSONA] == rows.rows:
            yield warning(text, "use run_rlvr_grpo.sh; run_permix_grpo.sh refuses them")
        else:
            yield ok(text)
        if rows.mix:
            yield from mixed_prompts(setup, rows.mix)
