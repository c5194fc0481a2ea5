"""What tells one model's results from another's."""

from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.evaluation.identity import model_identity


@pytest.mark.parametrize("model", ["/nowhere/model", "./model", "model"])
def test_a_path_that_is_not_there_is_refused_without_asking_the_hub(model: str) -> None:
    with pytest.raises(UserError, match="no model folder"):
        model_identity(model)


def test_a_hub_model_is_its_name() -> None:
    assert model_identity("some/model") == {"name": "some/model", "fingerprint": "hub:some/model"}


def test_a_folder_is_its_files_wherever_it_lies(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}" if name != "three" else '{"a": 1}')
    one, two, three = (model_identity(str(tmp_path / name)) for name in ("one", "two", "three"))
    assert one["fingerprint"] == two["fingerprint"] != three["fingerprint"]
