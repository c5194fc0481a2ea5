"""A GGUF file of SmolLM2 as a Hugging Face folder: configuration, tokenizer, chat template, dequantised weights.

transformers' own GGUF reader dequantises the weights and reads vocabulary and merges. It leaves out how SmolLM2 splits
a text before it merges (every digit apart: ``tokenizer.ggml.pre`` is ``smollm``), and takes the beginning of a turn for
its end. Both are set here.
"""

import json
from pathlib import Path
from typing import Any

from permix_verl.data.tokenizers import load_tokenizer
from permix_verl.utils.file_modes import give_usual_modes


def convert(gguf: Path, folder: Path) -> None:
    """Write the folder of a GGUF file.

    Weights are stored in bfloat16: both trainer and rollout engine compute from these very values, in float32 as in
    bfloat16 arithmetic. Stored in float32, an engine in bfloat16 would round them, and the base would be another one.

    Args:
        gguf: the file, of a Llama architecture.
        folder: an existing folder.
    """
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    source: dict[str, Any] = {"gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.bfloat16, **source)
    config = model.config
    vars(config).pop("_model_name_or_path", None)
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id
    )
    model.save_pretrained(folder)
    read_tokenizer(gguf, config).save_pretrained(folder)
    for name in ("config.json", "generation_config.json"):
        _drop_version(folder / name)
    give_usual_modes(folder)


def _drop_version(file: Path) -> None:
    """Drop the version of transformers, so that the folder is the same whichever wrote it."""
    values = json.loads(file.read_text())
    values.pop("transformers_version", None)
    file.write_text(json.dumps(values, indent=2) + "\n")


def read_tokenizer(gguf: Path, config: Any) -> Any:
    """Return the tokenizer of a GGUF file.

    Args:
        config: the model's configuration, which has the special tokens' ids and the length of the context.
    """
    from tokenizers import decoders, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    read = load_tokenizer(str(gguf.parent), gguf_file=gguf.name)
    backend = read.backend_tokenizer
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    token = backend.id_to_token
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=token(config.bos_token_id),
        eos_token=token(config.eos_token_id),
        pad_token=token(config.pad_token_id),
        unk_token=read.unk_token,
        model_max_length=config.max_position_embeddings,
        clean_up_tokenization_spaces=False,
        chat_template=read.chat_template,
    )
