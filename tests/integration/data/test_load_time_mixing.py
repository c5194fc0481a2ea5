"""Personas mixed in as verl's dataset loads rows: the same ones that ``permix mix`` writes, anew in every epoch."""

import itertools
import json
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from permix_verl import UserError, load_pool
from permix_verl.cli import mix
from permix_verl.personas.mixing import PersonaDraw

from ...support.verl_rows import OWN, dapo, deepscaler, openr1, parts_row, write_lines, write_parquet

COUNT = 40
POOL = load_pool("train")
TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{% if m.content is string %}{{ m.content }}{% elif m.content %}"
    "{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}\n{% endfor %}"
)


def build(files: Any, tokenizer: Any, **config: Any) -> Any:
    """Build the dataset as verl's trainer does."""
    from omegaconf import OmegaConf
    from verl.trainer.ppo.utils import create_rl_dataset

    names = [str(file) for file in (files if isinstance(files, list) else [files])]
    settings = OmegaConf.create(
        {
            "custom_cls": {"path": "pkg://permix_verl.dataset", "name": "PersonaMixDataset"},
            "max_prompt_length": 512,
            "filter_overlong_prompts": False,
            "shuffle": False,
            "train_files": names,
            "val_files": ["/val.parquet"],
            **config,
        }
    )
    return create_rl_dataset(settings.train_files, settings, tokenizer, None)


def mixed(file: Path, *flags: str) -> Path:
    mix.main(["--in", str(file), "--out", str(file.parent / "mixed"), *flags])
    return file.parent / "mixed" / file.name


def items(dataset: Any) -> list[tuple[Any, ...]]:
    """Row, epoch, persona and messages of every item; fields of messages that are null count for nothing."""
    found = []
    for item in (dataset[i] for i in range(len(dataset))):
        info = item["extra_info"]
        assert item["raw_prompt"] == item[dataset.prompt_key]
        chat = [{name: value for name, value in m.items() if value is not None} for m in item["raw_prompt"]]
        found.append((info["row_id"], info["epoch"], info["persona"], chat))
    return found


def seen(dataset: Any, workers: int = 0, skip: int = 0) -> list[list[tuple[str, int, str]]]:
    """(row, epoch, persona) of each batch as verl's dataloader serves them, the first ``skip`` batches resumed over."""
    from torchdata.stateful_dataloader import StatefulDataLoader
    from verl.trainer.ppo.utils import create_rl_sampler
    from verl.utils.dataset.rl_dataset import collate_fn

    def loader() -> Any:
        sampler = create_rl_sampler(dataset.config, dataset)
        return StatefulDataLoader(
            dataset, batch_size=8, num_workers=workers, drop_last=True, collate_fn=collate_fn, sampler=sampler
        )

    first = loader()
    iterator = iter(first)
    for _ in range(skip):
        next(iterator)
    resumed = loader()
    resumed.load_state_dict(first.state_dict())
    return [[(i["row_id"], i["epoch"], i["persona"]) for i in batch["extra_info"]] for batch in resumed]


def as_a_batch(rows: list[Any]) -> Any:
    """Return items as verl's trainer sends them to its workers."""
    from verl.utils.dataset.rl_dataset import collate_fn
    from verl.utils.tensordict_utils import get_tensordict

    assert {tuple(row) for row in rows} == {tuple(rows[0])}, "every item has the same fields"
    return get_tensordict(collate_fn(rows))


@pytest.mark.parametrize(
    ("make", "settings", "flags"),
    [
        (deepscaler, {"seed": 5}, ["--seed", "5"]),
        (dapo, {"no_persona_probability": 0.4}, ["--no-persona-probability", "0.4"]),
        (
            openr1,
            {"system_message": "replace", "dev_personas": "5"},
            ["--system-message", "replace", "--dev-personas", "5"],
        ),
        (openr1, {"system_message": "prepend"}, ["--system-message", "prepend", "--epoch", "1"]),
        (openr1, {"system_message": "append", "no_persona_probability": 0.4}, ["--system-message", "append"]),
        (deepscaler, {"id_field": "content"}, ["--id-field", "content"]),
    ],
)
def test_a_mixed_file_and_mixing_as_rows_load_give_the_same_items(
    make: Any, settings: dict[str, Any], flags: list[str], tmp_path: Path, tokenizer: Any
) -> None:
    file = write_parquet(tmp_path / "in.parquet", [make(number) for number in range(COUNT)])
    if make is openr1 and "no_persona_probability" in settings:
        flags = [*flags, "--no-persona-probability", "0.4"]
    from_file = items(build(mixed(file, *flags), tokenizer, epochs=2))
    as_they_load = items(build(file, tokenizer, epochs=2, permix={"pool": "train", **settings}))
    assert as_they_load == from_file
    assert len(from_file) == 2 * COUNT
    assert len({tuple(row for row, epoch, *_ in from_file if epoch == number) for number in range(2)}) == 2
    other = items(build(file, tokenizer, epochs=2, permix={"pool": "train", **settings, "seed": 99}))
    assert Counter(item[:3] for item in other) != Counter(item[:3] for item in from_file), "negative control"


@pytest.mark.parametrize("policy", ["replace", "prepend", "append"])
def test_own_texts_come_back_in_every_epoch(policy: str, tmp_path: Path, tokenizer: Any) -> None:
    file = write_parquet(tmp_path / "in.parquet", [openr1(number) for number in range(COUNT)])
    settings = {"pool": "train", "system_message": policy, "no_persona_probability": 0.3}
    for row_id, epoch, key, chat in items(build(file, tokenizer, epochs=3, permix=settings)):
        persona = PersonaDraw(POOL, 0, 0.3).persona(epoch, row_id)
        assert key == (persona.key if persona else "no_persona")
        own = chat[0]["content"]
        if persona is None:
            assert own == OWN
        else:
            text = persona.system_prompt
            assert own == {"replace": text, "prepend": f"{text}\n\n{OWN}", "append": f"{OWN}\n\n{text}"}[policy]
        assert [message["role"] for message in chat] == ["system", "user"]


def test_workers_and_resuming_change_nothing(tmp_path: Path, tokenizer: Any) -> None:
    file = write_parquet(tmp_path / "in.parquet", [dapo(number % 30) for number in range(COUNT)])
    loading = build(file, tokenizer, epochs=2, permix={"pool": "train", "seed": 1})
    from_file = build(mixed(file, "--seed", "1"), tokenizer, epochs=2)
    whole = seen(loading)
    assert len(whole) == 10
    assert seen(from_file) == whole
    for workers, skip in itertools.product((0, 2), (1, 5, 9)):
        assert seen(loading, workers, skip) == whole[skip:], (workers, skip)
    assert seen(from_file, 2, 5) == whole[5:]
    copied = pickle.loads(pickle.dumps(loading))
    copied.resume_dataset_state()
    assert items(copied) == items(loading)


def test_files_of_any_source_format_and_schema_are_one_data_set(tmp_path: Path, tokenizer: Any) -> None:
    """Ids are integers in one file and texts in another, and a third has neither them nor ``extra_info``."""
    files = [
        write_parquet(tmp_path / "a.parquet", [deepscaler(number) for number in range(12)]),
        write_parquet(tmp_path / "b.parquet", [dapo(number) for number in range(12)]),
        write_lines(tmp_path / "c.jsonl", [openr1(number) for number in range(12)]),
    ]
    (tmp_path / "d.json").write_text(json.dumps([deepscaler(number) for number in range(20, 24)]))
    settings = {"pool": "train", "system_message": "prepend"}
    dataset = build([*files, tmp_path / "d.json"], tokenizer, epochs=2, permix=settings)
    assert len(dataset) == 80
    found = items(dataset)
    assert Counter(row.split("/")[0] for row, *_ in found) == {"deepscaler": 32, "math_dapo": 24, "openr1": 24}
    assert {epoch for _, epoch, *_ in found} == {0, 1}
    draw = PersonaDraw(POOL, 0)
    assert all(persona == draw.persona(epoch, row).key for row, epoch, persona, _ in found)  # type: ignore[union-attr]
    batch = as_a_batch([dataset[i] for i in range(len(dataset))])
    assert [info["row_id"] for info in batch["extra_info"]] == [row for row, *_ in found]
    other_order = items(build([tmp_path / "d.json", *files[::-1]], tokenizer, epochs=2, permix=settings))
    assert sorted(other_order, key=str) == sorted(found, key=str), "the files' order decides nothing"
    one_by_one = itertools.chain.from_iterable(
        items(build(file, tokenizer, epochs=2, permix=settings)) for file in (*files, tmp_path / "d.json")
    )
    assert sorted(one_by_one, key=str) == sorted(found, key=str)
    assert len(build(files, tokenizer, permix=settings, train_max_samples=-1)) == 36


def test_several_files_of_one_mix_sample_anew_together(tmp_path: Path, tokenizer: Any) -> None:
    one = write_parquet(tmp_path / "one.parquet", [dapo(number) for number in range(20)])
    two = write_parquet(tmp_path / "two.parquet", [dapo(number) for number in range(10, 30)])
    mix.main(["--in", str(one), "--in", str(two), "--out", str(tmp_path / "out")])
    dataset = build([tmp_path / "out" / "one.parquet", tmp_path / "out" / "two.parquet"], tokenizer, epochs=2)
    loading = build([one, two], tokenizer, epochs=2, permix={"pool": "train"})
    assert items(dataset) == items(loading)
    assert len({row for row, *_ in items(loading)}) == 40, "ten rows are in both files, and are numbered"
    apart = [mixed(one), mixed(two)]
    with pytest.raises(UserError, match=r"is in several rows.*all files with one call of permix mix"):
        build(apart, tokenizer, epochs=2)


def test_parts_keep_their_form_and_the_persona_is_a_text(tmp_path: Path, tokenizer: Any) -> None:
    import copy

    tolerant = copy.deepcopy(tokenizer)
    tolerant.chat_template = TEMPLATE
    file = write_parquet(tmp_path / "in.parquet", [parts_row(number) for number in range(COUNT)])
    loading = items(build(file, tolerant, epochs=2, permix={"pool": "train"}))
    assert items(build(mixed(file), tolerant, epochs=2)) == loading
    for _, _, key, chat in loading:
        assert chat[0] == {"role": "system", "content": POOL.get(key).system_prompt}
        assert [part["type"] for part in chat[1]["content"]] == ["text", "text"]


def test_another_chat_column(tmp_path: Path, tokenizer: Any) -> None:
    rows = [
        {("messages" if name == "prompt" else name): value for name, value in dapo(i).items()} for i in range(COUNT)
    ]
    file = write_parquet(tmp_path / "in.parquet", rows)
    loading = items(build(file, tokenizer, epochs=2, prompt_key="messages", permix={"pool": "train"}))
    assert items(build(mixed(file, "--prompt-key", "messages"), tokenizer, epochs=2, prompt_key="messages")) == loading


def test_validation_files_are_read_once_as_they_are(tmp_path: Path, tokenizer: Any) -> None:
    from omegaconf import OmegaConf
    from verl.trainer.ppo.utils import create_rl_dataset

    train = write_parquet(tmp_path / "train.parquet", [openr1(number) for number in range(COUNT)])
    val = write_parquet(tmp_path / "val.parquet", [openr1(number) for number in range(6)])
    settings = {"pool": "train", "system_message": "append"}
    dataset = build(train, tokenizer, epochs=2, val_files=[str(val)], permix=settings)
    assert len(dataset) == 2 * COUNT
    validation = create_rl_dataset(dataset.config.val_files, dataset.config, tokenizer, None, is_train=False)
    assert [item["raw_prompt"] for item in (validation[i] for i in range(len(validation)))] == [
        openr1(number)["prompt"] for number in range(6)
    ]
    mix.main(["--in", str(val), "--out", str(tmp_path / "all"), "--every-persona", "--system-message", "append"])
    config = OmegaConf.merge(dataset.config, {"val_files": [str(tmp_path / "all" / "val.parquet")]})
    assert len(create_rl_dataset(config.val_files, config, tokenizer, None, is_train=False)) == 6 * 26
    with pytest.raises(UserError, match=r"'extra_info.persona' is missing"):
        build(train, tokenizer)  # training rows, and nothing to mix


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pool": "nope"}, "no persona pool 'nope'"),
        ({"pool": "eval"}, "share the keys"),
        ({"seed": 1}, "data.permix has no pool; set data.permix.pool"),
        ({"pool": "train", "sed": 1}, "data.permix.sed is no setting of mixing; known: pool, seed"),
        ({"pool": "train", "seed": "x"}, "data.permix.seed=x is not an integer"),
        ({"pool": "train", "no_persona_probability": "x"}, "data.permix.no_persona_probability=x is not a number"),
        ({"pool": "train", "system_message": "drop"}, "unknown policy 'drop' for own system messages; known: refuse"),
        ({"pool": "train", "dev_personas": "cook"}, "unknown persona 'cook'"),
        ({"pool": "train", "id_field": "uuid"}, "in.parquet, row 0: no id in field 'uuid'"),
    ],
)
def test_bad_settings_are_one_error(change: dict[str, Any], message: str, tmp_path: Path, tokenizer: Any) -> None:
    file = write_parquet(tmp_path / "in.parquet", [dapo(number) for number in range(3)])
    with pytest.raises(UserError, match=message):
        build(file, tokenizer, permix=change)


def test_bad_rows_are_one_error_with_their_file(tmp_path: Path, tokenizer: Any) -> None:
    good = write_parquet(tmp_path / "good.parquet", [dapo(number) for number in range(5)])
    own = write_parquet(tmp_path / "own.parquet", [openr1(number) for number in range(3)])
    clash = write_parquet(tmp_path / "clash.parquet", [{**dapo(7), "extra_info": dapo(2)["extra_info"]}])
    text = write_lines(tmp_path / "text.jsonl", [{**dapo(8), "prompt": "What is 1 + 1?"}])
    settings = {"pool": "train"}
    with pytest.raises(UserError, match=r"3 of 8 rows have a system message of their own, first .*own.parquet, row 0"):
        build([good, own], tokenizer, permix=settings)
    with pytest.raises(UserError, match=r"for two problems: .*good.parquet, row 2 .* and .*clash.parquet, row 0"):
        build([good, clash], tokenizer, permix=settings)
    with pytest.raises(UserError, match=r"text.jsonl, row 0: 'prompt' is the text 'What is 1 \+ 1\?'"):
        build(text, tokenizer, permix=settings)
    there = mixed(good)
    with pytest.raises(UserError, match=r"mixed/good.parquet has personas already"):
        build([good, there], tokenizer, permix=settings)
    carried = write_lines(tmp_path / "carried.jsonl", pq.read_table(there).to_pylist())
    with pytest.raises(UserError, match=r"carried.jsonl, row 0 has extra_info.persona='.*' already"):
        build([good, carried], tokenizer, permix=settings)
    assert len(build(carried, tokenizer)) == 5, "rows that carry personas are read as they are"


def test_a_prompt_too_long_under_any_persona_of_any_epoch_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    pool = tmp_path / "pool.jsonl"
    texts = {f"short {i}": f"You are terse, number {i}." for i in range(60)} | {
        "long": "You are " + "very " * 200 + "odd."
    }
    pool.write_text("".join(json.dumps({"key": key, "system_prompt": text}) + "\n" for key, text in texts.items()))
    file = write_parquet(tmp_path / "in.parquet", [dapo(number) for number in range(3)])
    draw = PersonaDraw(load_pool(pool), 0)
    names = [row for row, *_ in items(build(file, tokenizer, permix={"pool": str(pool)}))]
    assert all(draw.persona(0, row).key != "long" for row in names), "not drawn in the epoch"  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"3 of 3 prompts in .*in.parquet are longer .*drop them with permix mix"):
        build(file, tokenizer, max_prompt_length=200, permix={"pool": str(pool)})
    build(file, tokenizer, max_prompt_length=200, permix={"pool": str(pool), "no_persona_probability": 1})


def test_rows_that_repeat_are_said_once(tmp_path: Path, tokenizer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_parquet(tmp_path / "in.parquet", [dapo(number % 4) for number in range(COUNT)])
    dataset = build(file, tokenizer, epochs=2, permix={"pool": "train"})
    assert capsys.readouterr().out.count("36 of 40 rows repeat one of 4 problems under its id") == 1
    assert len(set(dataset.row_ids)) == COUNT
    of_one = {key for row, epoch, key, _ in items(dataset) if epoch == 0 and row.startswith(dataset.row_ids[0])}
    assert len(of_one) > 4, "they draw independently"
