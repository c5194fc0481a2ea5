"""The mapper method that verl calls: provided where vLLM has renamed it, refused where it was not tested."""

import types
from typing import Any

import pytest

from permix_verl import vllm_mapper


@pytest.mark.parametrize(
    ("version", "called", "present"),
    [
        ("0.24.0", False, False),  # verl does not call it there
        ("0.25.1", True, False),
        ("0.28.0+cpu", True, False),
        ("0.29.0", False, True),
        ("0.31.0+cpu", False, True),
        ("0.40.0", True, False),
    ],
)
def test_a_vllm_that_has_it_by_either_name_is_fine(version: str, called: bool, present: bool) -> None:
    assert vllm_mapper.problem(version, called, present) is None


@pytest.mark.parametrize(
    ("version", "present"), [("0.32.0", True), ("0.31.0", False), ("0.25.0", False), ("1.0.0", False)]
)
def test_one_that_has_it_not_or_was_not_tried_is_named(version: str, present: bool) -> None:
    said = vllm_mapper.problem(version, False, present)
    assert said is not None
    assert f"vLLM {version} does not have" in said
    assert "install vLLM 0.31 or older" in said


def module(monkeypatch: pytest.MonkeyPatch, version: str, *methods: str) -> Any:
    monkeypatch.setattr("vllm.__version__", version)
    mapper = type("WeightsMapper", (), {name: lambda self, name=name: name for name in methods})
    return types.SimpleNamespace(WeightsMapper=mapper)


def test_the_renamed_method_answers_to_the_old_name(monkeypatch: pytest.MonkeyPatch) -> None:
    utils = module(monkeypatch, "0.30.0+cpu", "get_rename_mapper")
    vllm_mapper.provide(utils)
    assert utils.WeightsMapper().get_unstacked_mapper() == "get_rename_mapper"


def test_one_that_is_there_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    utils = module(monkeypatch, "0.28.0+cpu", "get_unstacked_mapper", "get_rename_mapper")
    vllm_mapper.provide(utils)
    assert utils.WeightsMapper().get_unstacked_mapper() == "get_unstacked_mapper"


def test_an_untried_vllm_is_refused_while_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(vllm_mapper.MapperError, match=r"vLLM 0.32 was not tested"):
        vllm_mapper.provide(module(monkeypatch, "0.32.0", "get_rename_mapper"))
