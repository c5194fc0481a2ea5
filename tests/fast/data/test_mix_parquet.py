"""``permix mix``: personas into parquet files in verl's schema, and nothing else changed."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from permix_verl import UserError, load_pool
from permix_verl.cli import mix
from permix_verl.data.mixed_file import original_chat, read_mix, shared_draw
from permix_verl.data.schema import read_draw
from permix_verl.personas.mixing import PersonaDraw, validation_personas
from permix_verl.personas.pool import NO_PERSONA

from ...support.verl_rows import OWN, dapo, deepscaler, openr1, parts_row, problem, tool_row, write_lines, write_parquet

POOL = load_pool("train")
COUNT = 30


def run(*files: Path, out: Path, **options: Any) -> list[dict[str, Any]]:
    """Mix files into a folder and return the rows of the first."""
    flags = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    mix.main([*(text for file in files for text in ("--in", str(file))), "--out", str(out), *flags])
    return pq.read_table(out / files[0].name).to_pylist()


def without_mix(row: dict[str, Any]) -> dict[str, Any]:
    """Return a mixed row as it was before."""
    own, others = original_chat(row["prompt"], row["extra_info"])
    info = {name: value for name, value in row["extra_info"].items() if name not in MIXED}
    return {
        **row,
        "prompt": others if own is None else [{"role": "system", "content": own}, *others],
        "extra_info": info,
    }


MIXED = ("persona", "row_id", "epoch", "own_system")


@pytest.mark.parametrize("make", [deepscaler, dapo, tool_row, parts_row])
def test_each_row_gets_the_persona_of_its_id_and_keeps_all_else(make: Any, tmp_path: Path) -> None:
    rows = [make(number) for number in range(COUNT)]
    mixed = run(write_parquet(tmp_path / "in.parquet", rows), out=tmp_path / "out", seed=3)
    draw = PersonaDraw(POOL, seed=3)
    read = pq.read_table(tmp_path / "in.parquet").to_pylist()
    assert [without_mix(row) for row in mixed] == read
    for row in mixed:
        persona = draw.persona(0, row["extra_info"]["row_id"])
        assert persona is not None
        assert row["extra_info"]["persona"] == persona.key
        assert row["extra_info"]["epoch"] == 0
        content = row["prompt"][0]["content"]
        assert row["prompt"][0]["role"] == "system"
        assert (content if isinstance(content, str) else content[0]["text"]) == persona.system_prompt
    assert read_draw(str(tmp_path / "out" / "in.parquet")) == draw


def test_types_stay_as_they_are(tmp_path: Path) -> None:
    large = pa.large_string()
    message = pa.struct([("role", large), ("content", large), ("tags", pa.map_(pa.string(), pa.int32()))])
    schema = pa.schema(
        [
            pa.field("data_source", pa.dictionary(pa.int32(), pa.string())),
            pa.field("prompt", pa.large_list(pa.field("message", message, metadata={"a": "b"}))),
            pa.field("reward_model", pa.struct([pa.field("ground_truth", large, nullable=False), ("style", large)])),
            pa.field("extra_info", pa.struct([("index", pa.int16()), ("row_id", large), ("when", pa.timestamp("us"))])),
            pa.field("vector", pa.list_(pa.float32(), 3)),
            pa.field("blob", pa.large_binary(), metadata={"kind": "image"}),
        ],
        metadata={"made by": "hand"},
    )
    rows = [
        {
            "data_source": "mine",
            "prompt": [{"role": "user", "content": problem(number)[0], "tags": [("n", number)]}],
            "reward_model": {"ground_truth": problem(number)[1], "style": "rule"},
            "extra_info": {"index": number, "row_id": None if number % 2 else f"row {number}", "when": None},
            "vector": [float("nan"), 0.5, float(number)],
            "blob": b"\x00\xff" * number,
        }
        for number in range(COUNT)
    ]
    file = write_parquet(tmp_path / "in.parquet", rows, schema, compression="zstd", row_group_size=7)
    run(file, out=tmp_path / "out")
    before, after = pq.read_table(file), pq.read_table(tmp_path / "out" / "in.parquet")
    added = [pa.field("persona", pa.string()), pa.field("epoch", pa.int64())]
    info = [*schema.field("extra_info").type, *added]
    expected = schema.set(3, pa.field("extra_info", pa.struct(info)))
    assert after.schema.equals(expected)
    assert all(after.schema.field(name).metadata == schema.field(name).metadata for name in schema.names)
    assert after.schema.metadata[b"made by"] == b"hand"
    for name in ("data_source", "reward_model", "blob"):
        assert after.column(name).equals(before.column(name))
    assert repr(after.column("vector").to_pylist()) == repr(before.column("vector").to_pylist())
    assert after.column("prompt").to_pylist()[3][1:] == before.column("prompt").to_pylist()[3]
    assert [row["row_id"] for row in after.column("extra_info").to_pylist()[:2]] == ["row 0", "mine/1"]
    assert pq.read_metadata(tmp_path / "out" / "in.parquet").row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("policy", ["replace", "prepend", "append"])
def test_an_own_system_message_can_be_recovered_under_every_policy(policy: str, tmp_path: Path) -> None:
    rows = [openr1(number) for number in range(COUNT)]
    file = write_parquet(tmp_path / "in.parquet", rows)
    mixed = run(file, out=tmp_path / "out", system_message=policy, no_persona_probability=0.3)
    for row, before in zip(mixed, pq.read_table(file).to_pylist(), strict=True):
        own, others = original_chat(row["prompt"], row["extra_info"])
        assert [{"role": "system", "content": own}, *others] == before["prompt"]
        text, key = row["prompt"][0]["content"], row["extra_info"]["persona"]
        persona = None if key == NO_PERSONA else POOL.get(key).system_prompt
        expected = {"replace": persona, "prepend": f"{persona}\n\n{OWN}", "append": f"{OWN}\n\n{persona}"}[policy]
        assert text == (OWN if persona is None else expected)
    assert {row["extra_info"]["persona"] for row in mixed} > {NO_PERSONA}
    assert (read_mix(str(tmp_path / "out" / "in.parquet")) or {})["system_message"] == policy


def test_by_default_an_own_system_message_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "in.parquet", [openr1(number) for number in range(COUNT)])
    with pytest.raises(UserError, match=r"30 of 30 rows have a system message of their own, first .*in.parquet, row 0"):
        run(file, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    run(file, out=tmp_path / "out", no_persona_probability=1)
    assert pq.read_table(tmp_path / "out" / "in.parquet").to_pylist()[0]["prompt"] == openr1(0)["prompt"]


def test_a_second_call_writes_the_same_bytes_in_any_order_of_the_rows_the_same_personas(tmp_path: Path) -> None:
    rows = [dapo(number) for number in range(COUNT)]
    file = write_parquet(tmp_path / "in.parquet", rows)
    run(file, out=tmp_path / "out")
    before = (tmp_path / "out" / "in.parquet").read_bytes()
    run(file, out=tmp_path / "out")
    assert (tmp_path / "out" / "in.parquet").read_bytes() == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["in.parquet"]
    other = run(write_parquet(tmp_path / "other.parquet", rows[::-1]), out=tmp_path / "out")
    personas = [
        {row["extra_info"]["row_id"]: row["extra_info"]["persona"] for row in some}
        for some in (other, pq.read_table(tmp_path / "out" / "in.parquet").to_pylist())
    ]
    assert personas[0] == personas[1]


def test_rows_that_repeat_are_numbered_across_files_and_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = write_parquet(tmp_path / "one.parquet", [dapo(0), dapo(1), dapo(0)])
    two = write_parquet(tmp_path / "two.parquet", [dapo(1), dapo(2)])
    run(one, two, out=tmp_path / "out")
    names = [
        row["extra_info"]["row_id"].rpartition("-")[2]
        for file in ("one", "two")
        for row in pq.read_table(tmp_path / "out" / f"{file}.parquet").to_pylist()
    ]
    assert names == ["000000000000", "000000000001", "000000000000#2", "000000000001#2", "000000000002"]
    assert capsys.readouterr().out.count("2 of 5 rows repeat one of 2 problems under its id") == 1
    assert shared_draw([str(tmp_path / "out" / f"{file}.parquet") for file in ("one", "two")]) is not None


def test_every_persona_writes_each_row_under_all_of_them_and_none(tmp_path: Path) -> None:
    rows = [deepscaler(number) for number in range(3)]
    file = write_parquet(tmp_path / "in.parquet", rows)
    mix.main(["--in", str(file), "--out", str(tmp_path / "val.parquet"), "--every-persona"])
    mixed = pq.read_table(tmp_path / "val.parquet").to_pylist()
    assert Counter(row["data_source"] for row in mixed) == Counter(
        dict.fromkeys([f"deepscaler/{persona.slug}" for persona in POOL] + [f"deepscaler/{NO_PERSONA}"], 3)
    )
    assert len({row["extra_info"]["row_id"] for row in mixed}) == 3
    assert read_draw(str(tmp_path / "val.parquet")) is None, "not to be sampled again"
    mix.main(
        ["--in", str(file), "--out", str(tmp_path / "few"), "--every-persona", "--val-personas", "4", "--seed", "2"]
    )
    few = {row["extra_info"]["persona"] for row in pq.read_table(tmp_path / "few" / "in.parquet").to_pylist()}
    assert few == {NO_PERSONA, *(persona.key for persona in validation_personas(POOL, 4, 2))}


def test_a_large_pool_stands_in_one_file_beside_the_data(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    personas = ({"key": f"p{number}", "system_prompt": f"You are number {number}."} for number in range(2500))
    pool.write_text("".join(json.dumps(persona) + "\n" for persona in personas))
    file = write_parquet(tmp_path / "in.parquet", [dapo(number) for number in range(COUNT)])
    mixed = run(file, out=tmp_path / "out", pool=pool)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["in.parquet", "personas.arrow"]
    draw = read_draw(str(tmp_path / "out" / "in.parquet"))
    assert draw is not None
    later = draw.persona(1, mixed[0]["extra_info"]["row_id"])
    assert later == PersonaDraw(load_pool(pool), 0).persona(1, mixed[0]["extra_info"]["row_id"])
    other = write_parquet(tmp_path / "other.parquet", [dapo(0)])
    with pytest.raises(UserError, match=r"personas.arrow belongs to in.parquet there; give an --out folder without"):
        run(other, out=tmp_path / "out", pool=pool)


def test_mixed_files_are_not_mixed_again(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "in.parquet", [dapo(number) for number in range(COUNT)])
    run(file, out=tmp_path / "out")
    with pytest.raises(
        UserError, match=r"in.parquet has personas already: its metadata hold a persona draw; give the file"
    ):
        run(tmp_path / "out" / "in.parquet", out=tmp_path / "more")
    rows = pq.read_table(tmp_path / "out" / "in.parquet").to_pylist()
    with pytest.raises(UserError, match=r"row 0 has extra_info.persona='.*' already"):
        run(write_parquet(tmp_path / "plain.parquet", rows), out=tmp_path / "more")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--out", "{in}"], "in.parquet is the input itself"),
        (["--in", "{in}", "--out", "x"], "would share a name in x"),
        (["--in", "{in}", "--out", "x.parquet"], "x.parquet is one file for 2 inputs"),
        (["--out", "x", "--in", "/nowhere/a.parquet"], "no such file: /nowhere/a.parquet"),
        (["--out", "x", "--pool", "nope"], "no persona pool 'nope'"),
        (["--out", "x", "--pool", "eval"], "share the keys"),
        (["--out", "x", "--no-persona-probability", "2"], "the probability of no persona is 2.0"),
        (["--out", "x", "--dev-personas", "cook"], "unknown persona 'cook'"),
        (["--out", "x", "--id-field", "uuid"], "row 0: no id in field 'uuid'"),
        (["--out", "x", "--prompt-key", "messages"], "has no column 'messages', but data_source, prompt"),
        (["--out", "x", "--max-prompt-length", "9"], "--max-prompt-length 9 needs a tokenizer"),
        (["--out", "x", "--every-persona", "--val-personas", "0"], "validation under 0 personas"),
        (["--out", "{in}/x"], "cannot write to"),
    ],
)
def test_bad_settings_are_one_error_and_write_nothing(
    flags: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write_parquet(tmp_path / "in.parquet", [dapo(number) for number in range(3)])
    before = file.read_bytes()
    with pytest.raises(UserError, match=message):
        mix.main(["--in", str(file), *(flag.replace("{in}", str(file)) for flag in flags)])
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (
            "prompt",
            ["What is 1 + 1?"],
            "the column 'prompt' is string, not a list of chat messages; write each prompt as",
        ),
        ("prompt", [["What is 1 + 1?"]], "the column 'prompt' is list<.*string>, not a list of chat messages"),
        ("prompt", [[{"role": "user", "text": "x"}]], "the messages of 'prompt' have no field 'content'"),
        (
            "prompt",
            [[{"role": "user", "content": 3}]],
            "the messages' content is int64, neither a text nor content parts",
        ),
        ("extra_info", ['{"index": 1}'], "the column 'extra_info' is string, not a struct"),
        ("reward_model", [{"style": "rule"}], "row 0: 'reward_model.ground_truth' is missing"),
        ("prompt", [[]], "row 0: 'prompt' is an empty list|not a list of chat messages"),
    ],
)
def test_columns_of_another_form_are_named(column: str, values: list[Any], message: str, tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "in.parquet", [deepscaler(0) | {column: values[0]}])
    with pytest.raises(UserError, match=message):
        run(file, out=tmp_path / "out")


def test_other_formats_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"in.jsonl is not a parquet file; convert it, or mix at load time"):
        run(write_lines(tmp_path / "in.jsonl", [dapo(0)]), out=tmp_path / "out")
    (tmp_path / "bad.parquet").write_text("hello")
    with pytest.raises(UserError, match=r"bad.parquet is not a parquet file \("):
        run(tmp_path / "bad.parquet", out=tmp_path / "out")
    empty = tmp_path / "empty.parquet"
    pq.write_table(pa.Table.from_pylist([dapo(0)])[:0], empty)
    with pytest.raises(UserError, match=r"empty.parquet: no rows"):
        run(empty, out=tmp_path / "out")


def test_an_interrupted_mix_leaves_earlier_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_parquet(tmp_path / "in.parquet", [dapo(number) for number in range(3)])
    run(file, out=tmp_path / "out")
    before = (tmp_path / "out" / "in.parquet").read_bytes()
    write_parquet(file, [dapo(number) for number in range(5)])

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("permix_verl.data.mix_arrow.with_info", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(file, out=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["in.parquet"]
    assert (tmp_path / "out" / "in.parquet").read_bytes() == before
