"""What verl would only warn of stops the run, with the reason as its last words."""

from pathlib import Path

from .conftest import SHORT, Recipe


def test_prompts_that_verl_would_cut_end_the_run_with_the_reason(recipe: Recipe, tmp_path: Path) -> None:
    run = recipe("run_permix_grpo.sh", tmp_path / "a run", "data.max_prompt_length=60", **SHORT)
    assert run.status not in (0, 3)
    last = run.output.strip().splitlines()[-1]
    assert last.startswith("error: 120 of 120 prompts in ")
    assert "longer than data.max_prompt_length=60" in last
    assert "verl would cut the persona off" in last
