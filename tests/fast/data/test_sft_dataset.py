"""The dataset of the SFT trainer: order, masks, held-out rows, and what it refuses."""

import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from permix_verl import UserError
from permix_verl.cli import prep_sft as gsm8k_sft
from permix_verl.data.sft_dataset import SupervisedDataset
from permix_verl.personas.mixing import epoch_order


@pytest.fixture
def data(problem_file: Path, tokenizer_folder: Path, tmp_path: Path) -> Path:
    given = ["--data", str(problem_file), "--tokenizer", str(tokenizer_folder), "--out", str(tmp_path / "data")]
    gsm8k_sft.main([*given, "--val-problems", "5", "--seed", "3"])
    return tmp_path / "data"


CONFIG = {"max_length": 512, "train_batch_size": 8}


def test_each_epoch_shows_every_row_once_in_an_order_of_its_own(data: Path, tokenizer: Any) -> None:
    dataset = SupervisedDataset([str(data / "train.parquet")], tokenizer, CONFIG | {"epochs": 2})
    texts = [tokenizer.decode(dataset[item]["input_ids"]) for item in range(len(dataset))]
    first, second = texts[:55], texts[55:]
    assert sorted(first) == sorted(second)
    assert first != second
    assert dataset.row_ids == [row["row_id"] for row in pq.read_table(data / "train.parquet")["extra_info"].to_pylist()]
    again = pickle.loads(pickle.dumps(dataset))
    assert [tokenizer.decode(again[item]["input_ids"]) for item in range(len(again))] == texts
    order = epoch_order(dataset.row_ids, 3, 1)
    assert texts[55 + 7] == tokenizer.decode([*dataset.rows[order[7]][0], *dataset.rows[order[7]][1]])


def test_the_loss_is_on_the_response_alone(data: Path, tokenizer: Any) -> None:
    dataset = SupervisedDataset(str(data / "train.parquet"), tokenizer, CONFIG)
    for item in range(5):
        row = dataset[item]
        said = tokenizer.decode(row["input_ids"][row["loss_mask"] == 1])
        assert said.endswith(".<|eot_id|>")
        assert "Put your final answer" not in said
        before = tokenizer.decode(row["input_ids"][row["loss_mask"] == 0])
        assert before.endswith("<|start_header_id|>assistant<|end_header_id|>\n\n")
        assert row["loss_mask"].diff().abs().sum() == 1, "one stretch, at the end"
        assert torch.equal(row["position_ids"], torch.arange(len(row["input_ids"])))


def test_held_out_rows_are_filled_up_to_whole_batches_with_rows_that_do_not_count(data: Path, tokenizer: Any) -> None:
    dataset = SupervisedDataset(str(data / "val.parquet"), tokenizer, CONFIG | {"epochs": 3})
    assert len(dataset) == 8, "five rows, once whatever the epochs"
    assert [int(dataset[item]["loss_mask"].sum() > 0) for item in range(8)] == [1, 1, 1, 1, 1, 0, 0, 0]


def test_what_it_cannot_train_on_is_refused(data: Path, tokenizer: Any, tmp_path: Path) -> None:
    train = str(data / "train.parquet")
    with pytest.raises(UserError, match=r"\d+ of 55 rows in .* are longer than data\.max_length=60 \(row \d+: \d+ tok"):
        SupervisedDataset(train, tokenizer, CONFIG | {"max_length": 60})
    with pytest.raises(UserError, match="2 data files are given"):
        SupervisedDataset([train, train], tokenizer, CONFIG)
    table = pq.read_table(train)
    pq.write_table(table.replace_schema_metadata({}), tmp_path / "foreign.parquet")
    with pytest.raises(UserError, match="has no persona draw in its metadata"):
        SupervisedDataset(str(tmp_path / "foreign.parquet"), tokenizer, CONFIG)
    rows = table.to_pylist()
    rows[3]["messages"] = rows[3]["messages"][:-1]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), tmp_path / "asked.parquet")
    with pytest.raises(UserError, match="row 3: the chat does not end with a response"):
        SupervisedDataset(str(tmp_path / "asked.parquet"), tokenizer, CONFIG)


def test_the_launcher_and_verl_count_the_same_steps(data: Path, tokenizer: Any) -> None:
    from permix_verl.runs.steps import total_steps

    train = str(data / "train.parquet")
    settings = {"data.train_files": train, "data.train_batch_size": 8, "data.epochs": 3}
    assert total_steps(settings) == len(SupervisedDataset(train, tokenizer, CONFIG | {"epochs": 3})) // 8 == 20
    assert json.loads((data / "manifest.json").read_text())["rows"]["train"]["rows"] == 55
