"""What tells one model's results from another's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.evaluation.identity import model_identity

PRINT_IDENTITIES = """
import sys
from pathlib import Path
from permix_verl import UserError
from permix_verl.evaluation.identity import model_identity
main = Path(sys.argv[1], "hub", "models--some--model", "refs", "main")
for commit in sys.argv[2:]:
    main.write_text(commit)
    print(model_identity("some/model")["fingerprint"])
try:
    model_identity("no/model")
except UserError as error:
    print(error)
"""


def test_a_hub_model_is_its_name_and_commit(tmp_path: Path) -> None:
    commits = ["a" * 40, "b" * 40]
    cached = tmp_path / "hub" / "models--some--model"
    (cached / "refs").mkdir(parents=True)
    for commit in commits:
        (cached / "snapshots" / commit).mkdir(parents=True)
        (cached / "snapshots" / commit / "config.json").write_text("{}")
    found = subprocess.run(
        [sys.executable, "-c", PRINT_IDENTITIES, str(tmp_path), *commits],
        env=os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    *identities, error = found.stdout.splitlines()
    assert identities == [f"hub:some/model@{commit}" for commit in commits]
    assert error.startswith("cannot load model no/model (")
    assert error.endswith("check the name and the network")


@pytest.mark.parametrize("model", ["/nowhere/model", "./model", "model"])
def test_a_path_that_is_not_there_is_refused_without_asking_the_hub(model: str) -> None:
    with pytest.raises(UserError, match="no model folder"):
        model_identity(model)


def test_a_folder_is_its_files_wherever_it_lies(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}" if name != "three" else '{"a": 1}')
    one, two, three = (model_identity(str(tmp_path / name)) for name in ("one", "two", "three"))
    assert one["fingerprint"] == two["fingerprint"] != three["fingerprint"]
