"""The dataset class under the pinned verl: its contract, and what it refuses."""

import copy
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep import gsm8k_persona
from permix_verl import UserError

TEMPLATE_WITHOUT_SYSTEM = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"


@pytest.fixture
def data(problem_file: Path, tokenizer_folder: Path, tmp_path: Path) -> Path:
    out = tmp_path / "out"
    gsm8k_persona.main(
        ["--data", str(problem_file), "--tokenizer", str(tokenizer_folder), "--out", str(out), "--val-problems", "2"]
    )
    return out


def build(file: Path, tokenizer: Any, **config: Any) -> Any:
    """As verl's trainer does: the class by pkg:// path, the config as OmegaConf."""
    from omegaconf import OmegaConf
    from verl.utils.dataset.rl_dataset import get_dataset_class

    settings = OmegaConf.create(
        {
            "custom_cls": {"path": "pkg://permix_verl.dataset", "name": "PersonaMixDataset"},
            "max_prompt_length": 256,
            "filter_overlong_prompts": False,
            **config,
        }
    )
    dataset_class = get_dataset_class(settings)
    return dataset_class(data_files=[str(file)], tokenizer=tokenizer, config=settings, processor=None, max_samples=-1)


def rewrite(file: Path, change: Any) -> Path:
    table = pq.read_table(file)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), file)
    return file


def test_items_are_what_verls_rollout_reads(data: Path, tokenizer: Any) -> None:
    dataset = build(data / "train.parquet", tokenizer)
    item = dataset[3]
    assert len(dataset) == 58
    assert [message["role"] for message in item["raw_prompt"]] == ["system", "user"]
    assert item["extra_info"]["persona"] != "no_persona"
    assert item["reward_model"]["ground_truth"]
    assert item["index"] == 3


def test_validation_rows_with_and_without_persona_pass(data: Path, tokenizer: Any) -> None:
    assert len(build(data / "val.parquet", tokenizer)) == 2 * 26


def test_a_prompt_that_verl_would_cut_is_refused(data: Path, tokenizer: Any) -> None:
    with pytest.raises(UserError, match=r"of 58 prompts in .* are longer than data.max_prompt_length=80"):
        build(data / "train.parquet", tokenizer, max_prompt_length=80)


def test_a_template_that_loses_the_persona_is_refused(data: Path, tokenizer: Any) -> None:
    deaf = copy.deepcopy(tokenizer)
    deaf.chat_template = TEMPLATE_WITHOUT_SYSTEM
    with pytest.raises(UserError, match="is not in the rendered prompt"):
        build(data / "train.parquet", deaf)


def _no_system(rows: list[dict[str, Any]]) -> None:
    rows[7]["prompt"] = rows[7]["prompt"][1:]


def _no_persona_key(rows: list[dict[str, Any]]) -> None:
    rows[7]["extra_info"]["persona"] = None


def _no_gold(rows: list[dict[str, Any]]) -> None:
    rows[7]["reward_model"]["ground_truth"] = None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_no_system, "row 7: extra_info.persona is .* but the prompt has no system message"),
        (_no_persona_key, "row 7: 'extra_info.persona' is missing"),
        (_no_gold, "row 7: 'reward_model.ground_truth' is missing"),
    ],
)
def test_rows_that_contradict_themselves_are_refused(data: Path, tokenizer: Any, change: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(rewrite(data / "train.parquet", change), tokenizer)
