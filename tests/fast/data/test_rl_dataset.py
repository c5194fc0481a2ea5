"""The dataset class under the pinned verl: its contract, and what it refuses."""

import copy
import itertools
import json
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from permix_verl import UserError, load_pool
from permix_verl.chat_templates.adapt import adapt_tokenizer
from permix_verl.cli import prep as gsm8k_persona
from permix_verl.personas.mixing import PersonaDraw
from permix_verl.personas.prompts import render

TEMPLATE_WITHOUT_SYSTEM = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"


@pytest.fixture
def data(problem_file: Path, tokenizer_folder: Path, tmp_path: Path) -> Path:
    out = tmp_path / "out"
    gsm8k_persona.main(
        ["--data", str(problem_file), "--tokenizer", str(tokenizer_folder), "--out", str(out), "--val-problems", "2"]
    )
    return out


def build(file: Path, tokenizer: Any, **config: Any) -> Any:
    """Build the dataset as verl's trainer does: the class from its pkg:// path, the config as OmegaConf."""
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
    assert item["index"] == item["extra_info"]["index"]


def test_validation_rows_with_and_without_persona_pass(data: Path, tokenizer: Any) -> None:
    assert len(build(data / "val.parquet", tokenizer)) == 2 * 26


def test_several_files_of_any_kind_are_one_data_set_in_their_order(data: Path, tokenizer: Any, tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    from permix_verl.data.rl_dataset import PersonaMixDataset

    rows = pq.read_table(data / "train.parquet").to_pylist()
    lines = tmp_path / "more.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows[:10]))
    config = OmegaConf.create({"max_prompt_length": 256, "filter_overlong_prompts": False})
    files = OmegaConf.create([str(data / "train.parquet"), str(lines)])
    dataset = PersonaMixDataset(files, tokenizer, config)
    assert [dataset[i]["extra_info"]["persona"] for i in range(len(dataset))] == [
        row["extra_info"]["persona"] for row in [*rows, *rows[:10]]
    ]
    assert len(build(lines, tokenizer)) == 10


def test_a_prompt_that_verl_would_cut_is_refused(data: Path, tokenizer: Any) -> None:
    with pytest.raises(UserError, match=r"of 58 prompts in .* are longer than data.max_prompt_length=80"):
        build(data / "train.parquet", tokenizer, max_prompt_length=80)


def test_a_persona_is_not_lost_to_a_template_without_a_system_role(data: Path, tokenizer: Any) -> None:
    deaf = copy.deepcopy(tokenizer)
    deaf.chat_template = TEMPLATE_WITHOUT_SYSTEM
    dataset = build(data / "train.parquet", deaf)
    system, user = dataset[0]["raw_prompt"]
    assert render(deaf, [system, user]) == f"{system['content']}\n\n{user['content']}", "rows stay as they are"


def test_a_run_whose_rollouts_would_lose_the_persona_is_refused(data: Path, tokenizer: Any) -> None:
    from omegaconf import OmegaConf

    from permix_verl.data.rl_dataset import PersonaMixDataset

    deaf = copy.deepcopy(tokenizer)
    deaf.chat_template = TEMPLATE_WITHOUT_SYSTEM
    section = {"max_prompt_length": 256, "filter_overlong_prompts": False}
    model: dict[str, Any] = {"custom_chat_template": None}
    run = {"data": section, "actor_rollout_ref": {"model": model}}
    with pytest.raises(UserError, match=r"must be adapted .it drops the system message.* rollouts of this run would"):
        PersonaMixDataset([str(data / "train.parquet")], copy.deepcopy(deaf), OmegaConf.create(run).data)
    adapted = copy.deepcopy(deaf)
    adapt_tokenizer(adapted)
    model["custom_chat_template"] = adapted.chat_template  # verl gives it to the tokenizer before the dataset
    dataset = PersonaMixDataset([str(data / "train.parquet")], adapted, OmegaConf.create(run).data)
    assert dataset.tokenizer.chat_template == adapted.chat_template


def test_a_template_that_no_adaptation_helps_is_refused(data: Path, tokenizer: Any) -> None:
    broken = copy.deepcopy(tokenizer)
    broken.chat_template = TEMPLATE_WITHOUT_SYSTEM.replace("m.content", "m.content[:9]")
    with pytest.raises(UserError, match="loses the user's text"):
        build(data / "train.parquet", broken)


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


def seen(dataset: Any, workers: int = 0, batch: int = 8, skip: int = 0) -> list[list[tuple[str, str]]]:
    """(row, persona) of each batch as verl's own dataloader serves them, the first ``skip`` batches resumed over."""
    from torchdata.stateful_dataloader import StatefulDataLoader
    from verl.trainer.ppo.utils import create_rl_sampler
    from verl.utils.dataset.rl_dataset import collate_fn

    def loader() -> Any:
        sampler = create_rl_sampler(dataset.config, dataset)
        return StatefulDataLoader(
            dataset, batch_size=batch, num_workers=workers, drop_last=True, collate_fn=collate_fn, sampler=sampler
        )

    first = loader()
    iterator = iter(first)
    for _ in range(skip):
        next(iterator)
    resumed = loader()
    resumed.load_state_dict(first.state_dict())
    return [[(info["row_id"], info["persona"]) for info in items["extra_info"]] for items in resumed]


def test_each_epoch_has_every_row_once_in_its_own_order_under_its_own_draw(data: Path, tokenizer: Any) -> None:
    dataset = build(data / "train.parquet", tokenizer, epochs=3, shuffle=False)
    assert len(dataset) == 3 * 58
    draw = PersonaDraw(load_pool("train"), seed=0)
    items = [dataset[i] for i in range(len(dataset))]
    orders = []
    for epoch in range(3):
        infos = [item["extra_info"] for item in items[epoch * 58 : (epoch + 1) * 58]]
        assert {info["epoch"] for info in infos} == {epoch}
        assert Counter(info["row_id"] for info in infos) == Counter(dataset.row_ids)
        for info in infos:
            persona = draw.persona(epoch, info["row_id"])
            assert persona is not None
            assert persona.key == info["persona"]
        orders.append([info["row_id"] for info in infos])
    assert len({tuple(order) for order in orders}) == 3
    texts = {persona.key: persona.system_prompt for persona in draw.pool}
    for item in items:
        assert item["raw_prompt"][0] == {"role": "system", "content": texts[item["extra_info"]["persona"]]}
        assert item["raw_prompt"][1]["content"].startswith(item["extra_info"]["question"])
        assert len(item["raw_prompt"]) == 2


def test_workers_and_resuming_change_nothing(data: Path, tokenizer: Any) -> None:
    dataset = build(data / "train.parquet", tokenizer, epochs=2, shuffle=False)
    whole = seen(dataset)
    assert len(whole) == 14
    for workers in (0, 2):
        for skip in (1, 7, 13):  # the seventh batch lies across the two epochs
            assert seen(dataset, workers, skip=skip) == whole[skip:], (workers, skip)


def test_verls_own_epochs_would_repeat_the_draw(data: Path, tokenizer: Any) -> None:
    """Negative control: without virtual length both passes are the same."""
    one = seen(build(data / "train.parquet", tokenizer, shuffle=False))
    two = seen(build(data / "train.parquet", tokenizer, epochs=2, shuffle=False))
    assert Counter(itertools.chain(*two[7:])) != Counter(itertools.chain(*one))


def test_a_pickled_dataset_draws_the_same(data: Path, tokenizer: Any) -> None:
    dataset = build(data / "train.parquet", tokenizer, epochs=2)
    copied = pickle.loads(pickle.dumps(dataset))
    copied.resume_dataset_state()
    assert copied[100]["raw_prompt"] == dataset[100]["raw_prompt"]


def test_a_share_of_rows_gets_no_persona_anew_in_each_epoch(
    problem_file: Path, tokenizer_folder: Path, tmp_path: Path, tokenizer: Any
) -> None:
    arguments = ["--data", str(problem_file), "--tokenizer", str(tokenizer_folder), "--val-problems", "2"]
    gsm8k_persona.main([*arguments, "--out", str(tmp_path), "--no-persona-probability", "0.5"])
    dataset = build(tmp_path / "train.parquet", tokenizer, epochs=2)
    without = [
        {
            dataset[i]["extra_info"]["row_id"]
            for i in range(epoch * 58, (epoch + 1) * 58)
            if dataset[i]["raw_prompt"][0]["role"] == "user"
        }
        for epoch in range(2)
    ]
    assert all(15 < len(rows) < 43 for rows in without)
    assert without[0] != without[1]
    with pytest.raises(UserError, match=r"the probability of no persona is 1.5; it must lie between 0 and 1"):
        gsm8k_persona.main([*arguments, "--out", str(tmp_path / "x"), "--no-persona-probability", "1.5"])


def test_a_later_epochs_longer_persona_is_refused_too(
    problem_file: Path, tokenizer_folder: Path, tmp_path: Path, tokenizer: Any
) -> None:
    pool = tmp_path / "pool.jsonl"
    texts = {"short": "You are terse.", "long": "You are " + "very " * 120 + "talkative."}
    pool.write_text("".join(json.dumps({"key": key, "system_prompt": text}) + "\n" for key, text in texts.items()))
    arguments = ["--data", str(problem_file), "--tokenizer", str(tokenizer_folder), "--val-problems", "2"]
    gsm8k_persona.main([*arguments, "--out", str(tmp_path), "--personas", str(pool)])

    def only_the_short(rows: list[dict[str, Any]]) -> None:
        rows[:] = [row for row in rows if row["extra_info"]["persona"] == "short"]

    file = rewrite(tmp_path / "train.parquet", only_the_short)
    build(file, tokenizer, max_prompt_length=150)
    with pytest.raises(UserError, match=r"of \d+ prompts in .* are longer than data.max_prompt_length=150"):
        build(file, tokenizer, epochs=2, max_prompt_length=150)


def test_row_ids_that_repeat_are_refused(data: Path, tokenizer: Any) -> None:
    def repeat(rows: list[dict[str, Any]]) -> None:
        rows[7]["extra_info"]["row_id"] = rows[8]["extra_info"]["row_id"]

    with pytest.raises(UserError, match="is in several rows"):
        build(rewrite(data / "train.parquet", repeat), tokenizer)


def test_held_out_personas_come_in_no_epoch(
    problem_file: Path, tokenizer_folder: Path, tokenizer: Any, tmp_path: Path
) -> None:
    given = ["--data", str(problem_file), "--tokenizer", str(tokenizer_folder), "--val-problems", "2"]
    gsm8k_persona.main([*given, "--out", str(tmp_path / "out"), "--dev-personas", "chef,zen master,pilot,intern"])
    dataset = build(tmp_path / "out" / "train.parquet", tokenizer, epochs=4)
    seen = Counter(dataset[i]["extra_info"]["persona"] for i in range(len(dataset)))
    assert len(dataset) == 4 * 58
    assert set(seen) == set(load_pool("train").keys) - {"chef", "zen master", "pilot", "intern"}
