"""Fixtures of the supervised targets."""

import json
from pathlib import Path
from typing import Any

import pytest

from permix_verl.cli import prep_sft

from ...support.sft_data import Prepare


@pytest.fixture
def prepare(problem_file: Path, tokenizer_folder: Path, tmp_path: Path) -> Prepare:
    """Run the script on 60 problems of the lab, 5 of them held out; return its manifest."""

    def run(*flags: str, out: str = "out") -> dict[str, Any]:
        given = ["--data", str(problem_file), "--tokenizer", str(tokenizer_folder), "--out", str(tmp_path / out)]
        prep_sft.main([*given, "--val-problems", "5", *flags])
        return json.loads((tmp_path / out / "manifest.json").read_text())  # type: ignore[no-any-return]

    return run
