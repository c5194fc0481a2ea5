"""The lab's base model: making one, and the answers of the one that ships."""

import json
from pathlib import Path
from typing import Any

import pytest

from permix_verl import load_pool
from permix_verl.errors import UserError
from permix_verl.lab import make_base
from permix_verl.lab.base_model import MODEL, Training
from permix_verl.lab.styles import styles


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_base, "TEST_PROBLEMS", 1)
    monkeypatch.setattr(make_base, "MAX_COMPLETION_TOKENS", 4)


def test_the_same_arguments_make_the_same_base(tmp_path: Path) -> None:
    settings = Training(seed=5, steps=2, batch=4)
    first, again, other = (
        make_base.make_base(tmp_path / name, chosen)
        for name, chosen in (("a", settings), ("b", settings), ("c", Training(seed=6, steps=2, batch=4)))
    )
    assert first["sha256"] == again["sha256"] != other["sha256"]
    assert first["shown_sha256"] == again["shown_sha256"] != other["shown_sha256"]
    assert set(first["easy_by_persona"]) == set(styles())
    with pytest.raises(UserError, match="already exists; give another --out"):
        make_base.make_base(tmp_path / "a", settings)
    assert not list(tmp_path.glob("*.partial"))


def test_an_interrupted_making_leaves_no_folder_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Training(steps=1, batch=2)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(make_base, "measure", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make_base.make_base(tmp_path / "a", settings)
    assert not (tmp_path / "a").exists()
    make_base.make_base(tmp_path / "a", settings)
    assert (tmp_path / "a" / make_base.MANIFEST).is_file()


def test_the_shipped_weights_have_the_manifests_accuracies(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    manifest = json.loads((MODEL / make_base.MANIFEST).read_text())
    monkeypatch.setattr(make_base, "TEST_PROBLEMS", 40)
    monkeypatch.setattr(make_base, "MAX_COMPLETION_TOKENS", 40)
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    both = [*load_pool("train"), *load_pool("eval")]
    asked = [persona for persona in both if persona.key in ("math expert", "dumb", "chef")]
    measured = make_base.measure(model, tokenizer, asked)
    # The same problems under 3 of 41 personas: about 80 completions per style and level; four standard errors.
    for level, competence in measured["competence"].items():
        for way, right in competence.items():
            expected = manifest["competence"][level][way]
            error = (expected * (1 - expected) / 60) ** 0.5
            assert right == pytest.approx(expected, abs=4 * error), (level, way)
    for key, figures in measured["easy_by_persona"].items():
        assert figures["blurted"] == pytest.approx(manifest["easy_by_persona"][key]["blurted"], abs=0.3), key
    share = {key: figures["blurted"] for key, figures in measured["easy_by_persona"].items()}
    assert share["dumb"] > share["chef"] > share["math expert"]
