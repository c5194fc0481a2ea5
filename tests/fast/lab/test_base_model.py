"""The lab's base model: its making, and the files that ship."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from permix_verl import load_pool
from permix_verl.errors import UserError
from permix_verl.lab import make_base
from permix_verl.lab.base_model import MODEL, Training, describe
from permix_verl.lab.styles import style_of


def test_the_tokenizer_keeps_every_text_and_takes_numbers_whole(tokenizer: Any) -> None:
    def tokens(text: str) -> list[int]:
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    for text in ("He has 12 pears (“really”?)", "\\boxed{7}", "zwölf 十二"):
        assert tokenizer.decode(tokens(text)) == text
    for number in range(100):
        assert len(tokens(str(number))) == 1
        assert tokens(f" {number}")[1:] == tokens(str(number)), "the same token with a space before it"
    assert len(tokens("2026")) == 2
    assert len(tokens("12+5=17.")) == 6
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_an_unwritable_folder_is_refused_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_base, "train", lambda *_: pytest.fail("trained first"))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*; give another --out"):
        make_base.make_base(tmp_path / "file" / "base", Training())


@pytest.fixture
def manifest() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MODEL / make_base.MANIFEST).read_text())
    return found


def test_a_base_has_the_permissions_of_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    monkeypatch.setattr(make_base, "train", lambda tokenizer, settings: LlamaForCausalLM(config))
    monkeypatch.setattr(make_base, "measure", lambda model, tokenizer: {})
    before = os.umask(0o027)
    try:
        make_base.make_base(tmp_path / "base", Training())
    finally:
        os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "base").iterdir()}
    assert modes.pop("model.safetensors") == 0o640
    assert set(modes.values()) == {0o640}, "as the other files"


def test_the_manifest_matches_the_shipped_weights_and_the_lab(
    manifest: dict[str, Any], tokenizer: Any, tmp_path: Path
) -> None:
    assert hashlib.sha256((MODEL / "model.safetensors").read_bytes()).hexdigest() == manifest["sha256"]
    assert manifest["training"] == describe(Training())
    # Any change to personas, styles, problems or the template invalidates the shipped weights.
    assert make_base.examples_sha256(tokenizer, Training()) == manifest["shown_sha256"]
    tokenizer.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "chat_template.jinja"):
        assert (MODEL / name).read_text() == (tmp_path / name).read_text()


def test_the_shipped_base_is_a_persona_lottery_with_their_voices(manifest: dict[str, Any]) -> None:
    """The recorded figures of its making; tests/e2e/test_lab_base_model.py samples from the weights themselves."""
    for level, competence in manifest["competence"].items():
        assert competence["worked"] > 0.85, level
        assert competence["blurted"] < 0.6, level
    by_persona = manifest["easy_by_persona"]
    for pool in ("train", "eval"):
        accuracy = {persona.key: by_persona[persona.key]["accuracy"] for persona in load_pool(pool)}
        assert min(accuracy.values()) < 0.75 * max(accuracy.values())
        assert style_of(min(accuracy, key=accuracy.__getitem__)).blurt >= 0.6
    assert all(figures["voice"] > 0.75 for key, figures in by_persona.items() if key != "no_persona")
    assert by_persona["no_persona"]["accuracy"] < max(figures["accuracy"] for figures in by_persona.values())


def test_the_shipped_teacher_is_another_and_better_model() -> None:
    folder = MODEL.parent / "teacher"
    base, teacher = (json.loads((path / "manifest.json").read_text()) for path in (MODEL, folder))
    assert (
        teacher["sha256"] == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() != base["sha256"]
    )
    assert teacher["training"] == describe(Training(seed=1, steps=10_000))
    for level in ("easy", "hard"):
        assert teacher["competence"][level]["blurted"] > base["competence"][level]["blurted"]
    assert teacher["competence"]["easy"]["worked"] > base["competence"]["easy"]["worked"] + 0.05
    assert (folder / "tokenizer.json").read_bytes() == (MODEL / "tokenizer.json").read_bytes()
