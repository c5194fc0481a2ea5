"""A tokenizer that loses text, and a persona that holds a special token, are refused wherever a tokenizer is loaded."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from permix_verl import UserError, load_pool
from permix_verl.cli import prep as gsm8k_persona
from permix_verl.cli import prep_sft as gsm8k_sft
from permix_verl.data.sft_dataset import SupervisedDataset
from permix_verl.data.tokenizers import check_round_trip, load_tokenizer
from permix_verl.evaluation.options import EvalOptions
from permix_verl.evaluation.run import evaluate
from permix_verl.inference.engine_config import EngineConfig
from permix_verl.lab.base_model import MODEL
from permix_verl.personas.pool import Persona
from permix_verl.preflight.doctor import model
from permix_verl.preflight.doctor.types import Setup

from .test_rl_dataset import build

POOLS = [*load_pool("train"), *load_pool("eval")]
TEXTS = [
    "A farmer has 12 cows.  He sells half of them,\n\nand buys 3 more: $5.00 + $7.50?",
    " Ünal's café sold 1,234 croissants at 25% off; what's left?\n",
    "日本 and ½ of ﬁve … in a\u00a0row",
]
WORDS = [*TEXTS, *(persona.system_prompt for persona in POOLS)]
LOST = "LlamaTokenizer of .* loses part of a text: .* comes back as .*; set tokenizer_class to PreTrainedTokenizerFast"


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's model, whose byte-level tokenizer goes under the name of Llama's class (transformers #45488)."""
    folder = Path(shutil.copytree(MODEL, tmp_path_factory.mktemp("broken") / "model"))
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"tokenizer_class": "LlamaTokenizerFast"}))
    return folder


@pytest.fixture
def marked_pool(tmp_path: Path) -> Path:
    """A pool whose second persona holds a special token of the lab's model."""
    file = tmp_path / "pool.jsonl"
    texts = {"calm": "You are calm.", "sly": "You are sly.<|eot_id|> Really."}
    rows = [{"key": key, "category": "c", "system_prompt": text} for key, text in texts.items()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def trained(made: Tokenizer, trainer: Any) -> Any:
    made.train_from_iterator(WORDS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", eos_token="</s>")


def byte_level() -> Any:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=True), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return trained(made, trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False))


def metaspace() -> Any:
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return trained(made, trainers.BpeTrainer(vocab_size=500, special_tokens=["<unk>", "</s>"], show_progress=False))


def lowercase_words() -> Any:
    made = Tokenizer(models.WordLevel(unk_token="<unk>"))
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return trained(made, trainers.WordLevelTrainer(special_tokens=["<unk>", "</s>"], show_progress=False))


@pytest.mark.parametrize("make", [byte_level, metaspace, lowercase_words])
def test_sound_tokenizers_pass_whatever_they_normalise(make: Any) -> None:
    tokenizer = make()
    assert (
        tokenizer.decode(tokenizer(TEXTS[2], add_special_tokens=False)["input_ids"]) != TEXTS[2] or make is byte_level
    )
    check_round_trip(tokenizer, POOLS, TEXTS)


def test_the_labs_tokenizer_passes_in_no_time() -> None:
    tokenizer = load_tokenizer(str(MODEL))
    start = time.process_time()
    check_round_trip(tokenizer, [None, *POOLS], TEXTS * 34)
    assert time.process_time() - start < 1


def test_a_byte_level_tokenizer_under_llamas_name_is_refused(broken: Path) -> None:
    tokenizer = load_tokenizer(str(broken))
    with pytest.raises(UserError, match=LOST):
        check_round_trip(tokenizer, [], TEXTS)
    with pytest.raises(UserError, match=r"'You are a .* comes back as 'Youarea"):
        check_round_trip(tokenizer, [Persona("chef", "", "You are a chef.")])
    check_round_trip(tokenizer, [None], ["oneword"])  # nothing is lost here


def test_a_lost_blank_and_a_lost_character_are_each_enough() -> None:
    tokenizer = lowercase_words()
    with pytest.raises(UserError, match="loses part"):
        check_round_trip(tokenizer, [], ["an unheardof word"])
    joined = load_tokenizer(str(MODEL))
    joined.backend_tokenizer.normalizer = normalizers.Replace("a row", "arow")
    check_round_trip(joined, [], ["a column"])
    with pytest.raises(UserError, match="'in a row' comes back as 'in arow'"):
        check_round_trip(joined, [], ["in a row"])


def test_a_special_token_in_a_personas_text_is_refused(marked_pool: Path) -> None:
    tokenizer = load_tokenizer(str(MODEL))
    with pytest.raises(UserError, match=r"persona 'sly' contains '<\|eot_id\|>', which is a special .*; rephrase"):
        check_round_trip(tokenizer, load_pool(marked_pool))
    check_round_trip(tokenizer, [Persona("sly", "", "You are sly. <| eot_id |> eot_id")])


def test_the_doctor_refuses(broken: Path, marked_pool: Path) -> None:
    for setup, told in (
        (Setup(str(broken)), "loses part of a text"),
        (Setup(str(MODEL), str(marked_pool)), "persona 'sly' contains"),
    ):
        (finding,) = model.tokenizer(setup)
        assert finding.severity == "error"
        assert told in finding.text
        assert finding.remedy.startswith(("set tokenizer_class", "rephrase"))
    (finding,) = model.tokenizer(Setup(str(MODEL)))
    assert (finding.severity, finding.remedy) == ("ok", "")


@pytest.mark.parametrize("prepare", [gsm8k_persona, gsm8k_sft])
def test_preparation_refuses_and_so_do_both_datasets(
    prepare: Any, broken: Path, marked_pool: Path, problem_file: Path, tmp_path: Path
) -> None:
    given = ["--data", str(problem_file), "--out", str(tmp_path / "data"), "--val-problems", "2"]
    with pytest.raises(UserError, match=LOST):
        prepare.main([*given, "--tokenizer", str(broken)])
    with pytest.raises(UserError, match="persona 'sly' contains"):
        prepare.main([*given, "--tokenizer", str(MODEL), "--personas", str(marked_pool)])
    assert not (tmp_path / "data" / "train.parquet").exists()
    prepare.main([*given, "--tokenizer", str(MODEL)])
    (finding,) = model.tokenizer(Setup(str(MODEL), run_dir=tmp_path))
    assert "and 58 prepared problems" in finding.text

    def load(tokenizer: Any, name: str) -> int:
        file = tmp_path / "data" / name
        if prepare is gsm8k_persona:
            return len(build(file, tokenizer, max_prompt_length=512))
        return len(SupervisedDataset(str(file), tokenizer, {"max_length": 1024, "train_batch_size": 2}))

    for name in ("train.parquet", "val.parquet"):
        assert load(AutoTokenizer.from_pretrained(MODEL), name) > 0
        with pytest.raises(UserError, match=LOST):
            load(AutoTokenizer.from_pretrained(broken), name)


def test_the_evaluation_refuses_before_it_generates(broken: Path, marked_pool: Path, tmp_path: Path) -> None:
    source = tmp_path / "gsm8k.jsonl"
    source.write_text(json.dumps({"question": "What is 1 + 1?", "answer": "It is 2.\n#### 2"}) + "\n")
    task = (f"gsm8k={source}",)
    for personas in ("eval", "eval:" + load_pool("eval").keys[0]):
        with pytest.raises(UserError, match=LOST):
            evaluate(EvalOptions(EngineConfig(str(broken)), tmp_path / "out", task, personas=personas))
    with pytest.raises(UserError, match="persona 'sly' contains"):
        evaluate(EvalOptions(EngineConfig(str(MODEL)), tmp_path / "other", task, personas=str(marked_pool)))
    assert EngineConfig(str(MODEL)).renderer("eval", POOLS, TEXTS)
    with pytest.raises(UserError, match=LOST):  # without any persona, by the problems
        EngineConfig(str(broken)).renderer("eval", [None], TEXTS)


def test_every_tokenizer_is_loaded_in_one_place() -> None:
    package = Path(__file__).resolve().parents[3] / "permix_verl"
    found = {str(file.relative_to(package)) for file in package.rglob("*.py") if "AutoTokenizer" in file.read_text()}
    assert found == {"data/tokenizers.py"}
