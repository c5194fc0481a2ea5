"""The README's first command on fewer problems: data, training, adapter, curves, run checks."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from permix_verl import load_pool
from permix_verl.checkpoints.merge import merge
from permix_verl.inference.model_identity import adapter_identity
from permix_verl.runs import metrics as m

from .conftest import FIRST, SAMPLES, STEPS, Recipe, Run


@pytest.fixture(scope="module")
def run(first_run: Run) -> Run:
    return first_run


def test_every_step_has_a_finite_reward_and_agreeing_rollouts(run: Run) -> None:
    steps = m.training_steps(run.metrics)
    assert len(steps) == STEPS
    for step, values in steps.items():
        assert all(math.isfinite(values[name]) for name in (m.REWARD, m.LENGTH, m.KL)), step
        assert values[m.ROLLOUT_ACTOR_CORR] > 0.99, step
    assert any(values["actor/grad_norm"] > 0 for values in steps.values())


def test_the_reward_rises(run: Run) -> None:
    """The reward rose by 0.13 in 14 steps when this was written; one step has a standard deviation of about 0.06."""
    rewards = [values[m.REWARD] for _, values in sorted(m.training_steps(run.metrics).items())]
    assert sum(rewards[-5:]) / 5 - sum(rewards[:5]) / 5 > 0.05, rewards


def test_the_output_has_steps_checks_and_the_next_command(run: Run) -> None:
    total = len(m.training_steps(run.metrics))
    assert f"{total:>4}/{total}" in run.output
    assert "rollout and actor agree at every step" in run.output
    assert "next: bash recipes/run_rlvr_grpo.sh" in run.output


def test_rollouts_use_the_personas_of_the_rows(run: Run) -> None:
    prompts = {persona.system_prompt for persona in load_pool("train")}
    rows = [json.loads(line) for file in (run.folder / "rollouts").glob("*.jsonl") for line in file.open()]
    assert rows
    seen = {next((p for p in prompts if p in row["input"]), None) for row in rows}
    assert None not in seen
    assert len(seen) > 20


def test_counters_of_all_25_personas_sum_to_the_rollouts(run: Run) -> None:
    slugs = {persona.slug for persona in load_pool("train")}
    logged = m.training_steps(run.metrics)
    for step, values in logged.items():
        counts = {
            name.split("/")[1]: value
            for name, value in values.items()
            if name.startswith("persona/") and name.endswith("/rollouts")
        }
        assert set(counts) == slugs, step
        assert sum(counts.values()) == 16 * SAMPLES, step
        total = sum(values[f"persona/{slug}/reward"] * count for slug, count in counts.items() if count)
        assert total / (16 * SAMPLES) == pytest.approx(values[m.REWARD])
        assert 0 <= values["reward/zero_variance_groups"] <= 1
        assert values["reward/timeout_rate"] == values["reward/error_rate"] == 0
    drawn = {slug for values in logged.values() for slug in slugs if values[f"persona/{slug}/rollouts"] > 0}
    assert len(drawn) > 20


def test_a_record_of_every_rollout_agrees_with_verls_own_dump(run: Run) -> None:
    personas = {persona.key: persona.system_prompt for persona in load_pool("train")}
    for file in sorted((run.folder / "records").glob("*.jsonl")):
        records = {row["key"]: row for row in map(json.loads, file.open())}
        dump = {row["uid"]: row for row in map(json.loads, (run.folder / "rollouts" / file.name).open())}
        assert set(records) == set(dump)
        for key, row in records.items():
            assert personas[row["persona"]] in dump[key]["input"]
            assert row["reward"] == dump[key]["score"]
        assert len({row["seed"] for row in records.values()}) == len(records)


def test_validation_has_a_curve_for_every_persona_and_none(run: Run) -> None:
    first, last = run.metrics[0], run.metrics[max(run.metrics)]
    arms = {persona.slug for persona in load_pool("train")} | {"no_persona"}
    assert set(m.validation_accuracy(first)) == set(m.validation_accuracy(last)) == arms
    assert all(first[f"val-aux/lab/{arm}/{flag}/mean@1"] == 0 for arm in arms for flag in ("timeout", "error"))


def test_the_adapter_on_the_base_gives_the_actors_log_probs(run: Run) -> None:
    """Recomputed with PEFT and transformers only, without the code under test."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = json.loads((run.folder / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"]
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)  # the weights are stored in 16 bits
    model: Any = PeftModel.from_pretrained(plain, run.folder / "adapter").eval()
    step = (run.folder / "checkpoints" / "latest_checkpointed_iteration.txt").read_text()
    record_file = run.folder / "checkpoints" / f"global_step_{step}" / "rollout_log_probs.pt"
    record = torch.load(record_file, weights_only=True)
    assert len(record["prompts"]) == 64
    moved = 0.0
    for prompt, response, expected in zip(record["prompts"], record["responses"], record["log_probs"], strict=True):
        ids = torch.tensor([prompt + response])
        with torch.no_grad():
            tuned = model(ids).logits.log_softmax(-1)
            with model.disable_adapter():
                untuned = model(ids).logits.log_softmax(-1)
        at = torch.arange(len(prompt) - 1, ids.shape[1] - 1)
        log_prob = tuned[0, at, ids[0, at + 1]]
        assert (log_prob - torch.tensor(expected)).abs().max() < 1e-4
        moved = max(moved, float((log_prob - untuned[0, at, ids[0, at + 1]]).abs().max()))
    assert moved > 1e-3, "an adapter without effect would pass the comparison above"


def test_the_curves_are_plotted(run: Run) -> None:
    assert (run.folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_engine_held_the_trained_adapter_at_every_step(run: Run) -> None:
    """Before the first update there is no ratio, since B is zero; after it the norms agree up to float32 rounding."""
    shares = [values.get(m.ADAPTER_NORM_RATIO) for values in m.training_steps(run.metrics).values()]
    assert shares[0] is None
    assert all(share == pytest.approx(1, abs=1e-5) for share in shares[1:])


def test_the_robustness_file_agrees_with_verls_metrics(run: Run) -> None:
    """Recomputed from the names and values of the metrics."""
    rows = {int(row["step"]): row for row in csv.DictReader((run.folder / "robustness.csv").open())}
    validated = {step for step, values in run.metrics.items() if any(name.startswith("val-core/") for name in values)}
    assert set(rows) == validated == {0, max(run.metrics)}
    for step, row in rows.items():
        accuracy = {
            name.split("/")[2]: value
            for name, value in run.metrics[step].items()
            if name.startswith("val-core/") and "/acc/mean@1" in name and "no_persona" not in name
        }
        assert len(accuracy) == int(row["personas"]) == 25
        worst, best = min(accuracy.values()), max(accuracy.values())
        assert (float(row["worst"]), float(row["best"])) == (worst, best)
        assert accuracy[row["worst_persona"]] == worst
        assert float(row["pss"] or "nan") == pytest.approx(worst / best if best else math.nan, nan_ok=True)
        assert row["held_out"] == "0"
        assert row["samples"] == "8"
    assert "validation (personas seen in training): mean" in run.output


def test_the_best_step_is_exported_and_recorded(run: Run) -> None:
    """Only the last step is both saved and validated, which a warning states before training."""
    last = max(run.metrics)
    assert f"2 steps will be saved (SAVE_FREQ=10) and 1 of them validated (TEST_FREQ=1000: {last})" in run.output
    best = json.loads((run.folder / "best.json").read_text())
    assert (best["step"], best["last_step"]) == (last, last)
    assert best["before_training"]["step"] == 0
    assert "best      " in run.output
    identities = [adapter_identity(str(run.folder / name))["fingerprint"] for name in ("adapter", "best_adapter")]
    assert identities[0] == identities[1]


def test_the_best_adapter_merges_into_a_plain_folder(run: Run, tmp_path: Path) -> None:
    base = json.loads((run.folder / "best_adapter" / "adapter_config.json").read_text())["base_model_name_or_path"]
    check = merge(base, run.folder / "best_adapter", tmp_path / "merged", "float32")
    assert check.merged < 1e-4 < check.base


def test_no_process_is_left_behind(run: Run) -> None:
    import psutil

    needle = str(run.folder)
    left = []
    for process in psutil.process_iter(["pid", "name"]):
        try:
            left += [process.info] if needle in " ".join(process.environ().values()) else []
        except psutil.Error:
            continue
    mine = psutil.Process().pid
    assert [info for info in left if info["pid"] != mine] == []


def test_the_same_command_again_finds_the_run_finished(run: Run, recipe: Recipe) -> None:
    evaluated = adapter_identity(str(run.folder / "adapter"))
    again = recipe("run_permix_grpo.sh", run.folder, DOCTOR="1", **FIRST).check()
    assert adapter_identity(str(run.folder / "adapter")) == evaluated, "its evaluation could not be resumed"
    assert "this run is finished" in again.output
    assert "adapter verified" in again.output


def test_other_settings_are_refused_in_the_same_folder(run: Run, recipe: Recipe) -> None:
    other = recipe("run_permix_grpo.sh", run.folder, KL="0.5", **FIRST)
    assert other.status == 2
    assert "holds a run with actor_rollout_ref.actor.kl_loss_coef=0.05, but this command has" in other.output
