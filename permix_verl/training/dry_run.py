"""Build a configuration's objects as verl would, and train nothing."""

import sys
import tempfile
from typing import Any

from permix_verl.config.compose import RunConfig
from permix_verl.errors import UserError
from permix_verl.training.guards.dead_keys import refuse_dead_keys


def validate(run: RunConfig) -> Any:
    """Return verl's resolved config, validated by verl's own functions and classes.

    Raises:
        UserError: a value that verl refuses, or a key that it ignores.
    """
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    refuse_dead_keys(run)
    config = run.node.copy()
    try:
        OmegaConf.resolve(config)
        if run.trainer == "sft":
            instantiate_supervised(config)
            return config
        instantiate(config)
        validate_config(config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config))
    except (HydraException, OmegaConfBaseException, AssertionError, TypeError, ValueError) as error:
        raise UserError(f"verl refuses this config: {error}", "check the value of the override") from error
    return config


def instantiate(config: Any) -> None:
    """Build verl's rollout, actor and model config objects; unknown fields fail here.

    verl's model config reads the tokenizer and the architecture. If the model cannot be read (no network, no such
    folder yet), a one-layer Llama replaces it, and a line on stderr reports that.
    """
    from verl.utils.config import omega_conf_to_dataclass

    omega_conf_to_dataclass(config.actor_rollout_ref.rollout)
    omega_conf_to_dataclass(config.actor_rollout_ref.actor)
    _instantiate_model(config.actor_rollout_ref.model)


def instantiate_supervised(config: Any) -> None:
    """Build verl's engine, optimizer, checkpoint, profiler and model config objects of the SFT trainer."""
    from verl.utils.config import omega_conf_to_dataclass

    for part in (config.engine, config.optim, config.checkpoint, config.profiler):
        omega_conf_to_dataclass(part)
    _instantiate_model(config.model)


def _instantiate_model(model: Any) -> None:
    from hydra.errors import InstantiationException
    from omegaconf import OmegaConf, open_dict
    from verl.utils.config import omega_conf_to_dataclass

    try:
        omega_conf_to_dataclass(model)
    except InstantiationException as error:
        if not isinstance(error.__cause__, OSError):  # transformers raises OSError for an unreadable model
            raise
        with tempfile.TemporaryDirectory() as folder:
            _write_stand_in(folder)
            stand_in = OmegaConf.create(OmegaConf.to_container(model, resolve=True))
            with open_dict(stand_in):
                stand_in.path = stand_in.tokenizer_path = stand_in.hf_config_path = folder
            omega_conf_to_dataclass(stand_in)
        reason = str(error.__cause__).splitlines()[0]
        print(
            f"dry run: {model.path} cannot be read here ({reason}); checked with a one-layer stand-in",
            file=sys.stderr,
        )


def _write_stand_in(folder: str) -> None:
    """Write a Llama config of one layer and a tokenizer of two tokens to ``folder``."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import LlamaConfig, PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({"<unk>": 0, "<eos>": 1}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="<eos>", pad_token="<eos>")
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    tokenizer.save_pretrained(folder)
    LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
    ).save_pretrained(folder)
