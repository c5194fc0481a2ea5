"""The tiny world: problems that are right, a tokenizer that keeps text, folders made once and whole."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from permix_verl.problems import iter_problems
from permix_verl.tiny import model as tiny
from permix_verl.tiny.problems import generate, spoken


def test_problems_are_right_and_in_gsm8ks_format(tmp_path: Path) -> None:
    rows = generate(300, seed=5)
    assert rows == generate(300, seed=5)
    assert rows != generate(300, seed=6)
    for row in rows:
        annotation = re.search(r"<<(\d)([+-])(\d)=(\d)>>", row["answer"])
        assert annotation is not None
        first, sign, second, result = annotation.groups()
        assert int(result) == (int(first) + int(second) if sign == "+" else int(first) - int(second))
        assert row["answer"].endswith(f"\n#### {result}")
        assert f"has {first} " in row["question"]
        assert spoken(row["answer"]).endswith(f"The answer is \\boxed{{{result}}}.")
        assert "<<" not in spoken(row["answer"])
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert len(list(iter_problems(str(file)))) == 300


def test_the_tokenizer_keeps_every_text_and_splits_digits(tokenizer: Any) -> None:
    for text in ("He has 12 pears (“really”?)", "\\boxed{7}", "zwölf 十二"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == text
    assert len(tokenizer("2026", add_special_tokens=False)["input_ids"]) == 4
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_a_world_is_made_once_and_the_same_seed_makes_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny, "STEPS", 2)
    monkeypatch.setattr(tiny, "BATCH", 2)
    first = tiny.ensure_world(tmp_path / "a")
    weights = (first["model"] / "model.safetensors").read_bytes()
    monkeypatch.setattr(tiny, "train_model", lambda *args, **kwargs: pytest.fail("made a second time"))
    assert tiny.ensure_world(tmp_path / "a") == first
    monkeypatch.undo()
    monkeypatch.setattr(tiny, "STEPS", 2)
    monkeypatch.setattr(tiny, "BATCH", 2)
    again = tiny.ensure_world(tmp_path / "b")
    assert (again["model"] / "model.safetensors").read_bytes() == weights
    assert not list(tmp_path.glob("*.partial"))
