"""Fixtures of all tiers: a small tokenizer, problems on disk, real data where it lies beside the project."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """The lab's tokenizer, built anew: byte-level BPE, Llama-3-style template."""
    from permix_verl.lab.base_model import build_tokenizer

    return build_tokenizer()


@pytest.fixture(scope="session")
def tokenizer_folder(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def problem_file(tmp_path: Path) -> Path:
    """60 problems in GSM8K's format."""
    from permix_verl.lab.problems import generate

    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in generate(60, "easy", "train", seed=7)))
    return file


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Public data sets beside the checkout; a checkout without them skips the tests that read them."""
    folder = Path(os.environ.get("PERMIX_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no {folder}; set PERMIX_TEST_DATA to a folder with gsm8k/train.jsonl")
    return folder


@pytest.fixture
def shared_personagym(shared_data: Path) -> Path:
    """PersonaGym's published prompts, rubrics and questions."""
    return shared_data / "personagym"
