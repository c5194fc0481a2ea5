"""Sources as a user names them, and what is refused in them."""

from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.data.presets import PRESETS
from permix_verl.data.source_spec import SourceOptions, parse_sources


def test_a_source_is_a_location_and_options() -> None:
    (spec,) = parse_sources(
        "mine.csv,name=mine, question-field=task,answer-field=a.b,gold=boxed,id-field=nr,weight=2.5"
    )
    assert (spec.location, spec.name, spec.weight, spec.preset) == ("mine.csv", "mine", 2.5, None)
    assert spec.options == SourceOptions("task", "a.b", "boxed", "nr")
    assert (spec.split, spec.configs) == ("train", ())


def test_a_preset_is_named_by_itself_by_its_hub_name_or_beside_a_file() -> None:
    for text in ("dapo-math-17k", "DAPO-Math-17k", "BytedTsinghua-SIA/DAPO-Math-17k", "x.parquet,preset=dapo-math-17k"):
        (spec,) = parse_sources(text)
        assert (spec.preset, spec.name) == ("dapo-math-17k", "dapo-math-17k")
        assert spec.known is PRESETS["dapo-math-17k"]
    assert parse_sources("math-500")[0].location == "HuggingFaceH4/MATH-500"
    assert parse_sources("math-500")[0].split == "test"
    assert len(parse_sources("math")[0].configs) == 7
    assert parse_sources("math,config=algebra")[0].configs == ("algebra",)
    assert parse_sources("gsm8k,name=school")[0].name == "school"


def test_several_sources_share_the_options_that_they_do_not_give() -> None:
    defaults = SourceOptions(question_field="q", split="test")
    one, two, three = parse_sources(["a.csv; b.csv,split=dev", "math-500,question-field=problem"], defaults)
    assert [spec.location for spec in (one, two, three)] == ["a.csv", "b.csv", "HuggingFaceH4/MATH-500"]
    assert [spec.options.question_field for spec in (one, two, three)] == ["q", "q", "problem"]
    assert [spec.split for spec in (one, two, three)] == ["test", "dev", "test"]


def test_a_path_may_hold_any_sign(tmp_path: Path) -> None:
    odd = tmp_path / "a;b,name=c.jsonl"
    odd.write_text("")
    assert parse_sources(str(odd))[0].location == str(odd)
    (spec,) = parse_sources(f"{odd},name=odd")
    assert (spec.location, spec.name) == (str(odd), "odd")


def test_a_file_of_a_presets_name_is_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "math").mkdir()
    monkeypatch.chdir(tmp_path)
    (spec,) = parse_sources("math")
    assert (spec.location, spec.preset) == ("math", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x.csv,field=q", "'x.csv,field=q': unknown key 'field'; known: name, question-field, .*, weight, preset"),
        ("x.csv,name=a,name=b", "name stands twice"),
        ("x.csv,name=", "name is empty"),
        ("x.csv,name=a/b", "the name 'a/b' is part of metric names; use letters"),
        ("x.csv,preset=dapo", "unknown preset 'dapo'; known: gsm8k, math, math-500, dapo-math-17k"),
        ("x.csv,gold=latex", "unknown form of golds 'latex'; known: boxed, last-number, hash, field"),
        ("x.csv,bad-golds=keep", "unknown choice for bad golds 'keep'; known: refuse, drop"),
        ("x.csv,duplicates=all", "unknown choice for duplicates 'all'; known: once, number"),
        ("x.csv,weight=two", "the weight 'two' is not a number"),
        ("x.csv,weight=-1", "the weight is -1; it must be a number of 0 or more"),
        ("x.csv,weight=nan", "the weight is nan"),
        ("x.csv,weight=inf", "the weight is inf"),
        ("x.csv,weight=0;y.csv,weight=0", r"the weights of all sources are 0 \(0, 0\)"),
        (" ; ", "no data is named"),
        (",name=a", "names no data"),
    ],
)
def test_bad_sources_are_one_clear_error(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_sources(text)


def test_an_unknown_form_among_the_defaults_is_refused() -> None:
    with pytest.raises(UserError, match="unknown form of golds 'box'"):
        parse_sources("x.csv", SourceOptions(gold="box"))
