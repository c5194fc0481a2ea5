"""Every template, ours and real ones: rows, verl's dataset, supervised masks, and the same text on two days."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from permix_verl import load_pool
from permix_verl.chat_templates.adapt import adapt_tokenizer, template_of
from permix_verl.chat_templates.day import DAYS
from permix_verl.chat_templates.probes import CHATS
from permix_verl.chat_templates.read import templates_in
from permix_verl.chat_templates.template import ChatTemplate
from permix_verl.chat_templates.use import use_template
from permix_verl.cli import prep, prep_sft
from permix_verl.data.sft_dataset import SupervisedDataset
from permix_verl.data.sft_tokens import end_of_turn, response_bridge, supervised_tokens
from permix_verl.errors import UserError
from permix_verl.lab.problems import generate
from permix_verl.personas.prompts import build_messages, render

from ...support.template_tokenizers import OWN, on_day, tokenizer_of

ROOT = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("PERMIX_TEST_DATA", ROOT.parent / "shared" / "data")) / "templates"
UNUSABLE = {"broken", "loses_user", "random", "swallows_both", "huggingface.js__CohereForAI_c4ai-command-r-v01"}
REAL = [template for template in templates_in(SHARED) if template.name not in UNUSABLE] if SHARED.is_dir() else []
USABLE = [template for template in templates_in(OWN) if template.name not in UNUSABLE]
TARGET = "First 7 + 5.\n\nThe answer is \\boxed{12}."
PROBLEMS = 24


def loaded(template: ChatTemplate, thinking: str = "off") -> tuple[Any, dict[str, Any]]:
    """Return a tokenizer with the adapted template, and the arguments of a run."""
    tokenizer = tokenizer_of(template.text)
    own = template_of(tokenizer)
    assert own is not None
    arguments = use_template(own, None, "auto", "on" if thinking == "on" else "off").arguments
    adapt_tokenizer(tokenizer, arguments)
    return tokenizer, arguments


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("problems") / "problems.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in generate(PROBLEMS, "easy", "train", seed=7)))
    return file


@pytest.mark.parametrize("template", USABLE, ids=lambda template: template.name)
def test_rows_datasets_and_masks_of_our_own_templates(template: ChatTemplate, problems: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from permix_verl.data.rl_dataset import PersonaMixDataset

    tokenizer, arguments = loaded(template)
    plain = tokenizer_of(template.text)
    plain.save_pretrained(tmp_path / "model")
    common = [
        *("--data", str(problems), "--tokenizer", str(tmp_path / "model"), "--val-problems", "2"),
        *("--chat-template-kwargs", json.dumps(arguments), "--max-prompt-length", "2000"),
    ]
    prep.main([*common, "--out", str(tmp_path / "rl")])
    config = {"max_prompt_length": 2000, "filter_overlong_prompts": False, "apply_chat_template_kwargs": arguments}
    verls = AutoTokenizer.from_pretrained(tmp_path / "model")
    dataset = PersonaMixDataset([str(tmp_path / "rl" / "train.parquet")], verls, OmegaConf.create(config))
    assert len(dataset) == PROBLEMS - 2
    for item in map(dataset.__getitem__, range(len(dataset))):
        system, user = (message["content"] for message in item["raw_prompt"])
        rendered = render(verls, item["raw_prompt"], arguments)
        assert system in rendered
        assert user in rendered
    if template.name == "refuses_assistant":
        with pytest.raises(UserError, match="refuses an assistant's turn"):
            prep_sft.main([*common, "--out", str(tmp_path / "sft")])
        return
    prep_sft.main([*common, "--out", str(tmp_path / "sft"), "--max-length", "3000"])
    file = tmp_path / "sft" / "train.parquet"
    settings = {"max_length": 3000, "train_batch_size": 1, "apply_chat_template_kwargs": arguments}
    rows = SupervisedDataset(str(file), AutoTokenizer.from_pretrained(tmp_path / "model"), settings).rows
    end, bridge = tokenizer.decode(end_of_turn(tokenizer, arguments)), response_bridge(tokenizer, arguments).text
    for (prompt, response), row in zip(rows, pq.read_table(file).to_pylist(), strict=True):
        *chat, target = row["messages"]
        assert tokenizer.decode(response) == target["content"].strip() + end
        assert tokenizer.decode(prompt) == render(tokenizer, chat, arguments) + bridge


@pytest.mark.parametrize("thinking", ["off", "on"])
@pytest.mark.parametrize("template", [*USABLE, *REAL], ids=lambda template: template.name)
def test_prompts_are_the_same_on_two_days_and_masks_hold_response_and_end(
    template: ChatTemplate, thinking: str
) -> None:
    tokenizer, arguments = loaded(template, thinking)
    own = template_of(tokenizer)
    assert own is not None
    for chat in CHATS:
        rendered = [list(rendered_on(day, tokenizer, chat, arguments)) for day in DAYS]
        assert rendered[0] == rendered[1]
        assert len(set(rendered[0])) == 1, "transformers and vLLM differ"
    messages = build_messages("What is 7 + 5?", load_pool("train").personas[0])
    if template.name == "refuses_assistant":
        return
    end = end_of_turn(tokenizer, arguments)
    ((prompt, said),) = supervised_tokens(tokenizer, [messages], [TARGET], end, arguments)
    text = tokenizer.decode(said)
    assert text.startswith(TARGET)
    assert text.removeprefix(TARGET) == tokenizer.decode(end)
    assert text.removeprefix(TARGET).strip()
    assert tokenizer.decode(prompt).startswith(render(tokenizer, messages, arguments))


def rendered_on(day: Any, tokenizer: Any, chat: Any, arguments: dict[str, Any]) -> Iterator[str]:
    """Render a chat on a day with transformers and with vLLM's renderer, which a server uses."""
    from types import SimpleNamespace

    from vllm.renderers.hf import safe_apply_chat_template

    model = SimpleNamespace(
        revision=None, trust_remote_code=False, model="x", hf_config=SimpleNamespace(model_type="x")
    )
    vllms = {"tools": None, "chat_template": tokenizer.chat_template}
    with on_day(day):
        for call in (
            lambda **given: tokenizer.apply_chat_template(list(chat), **given),
            lambda **given: safe_apply_chat_template(model, tokenizer, list(chat), **vllms, **given),
        ):
            try:
                yield call(tokenize=False, add_generation_prompt=True, **arguments)
            except Exception:  # a template of one turn refuses several
                yield "refused"
