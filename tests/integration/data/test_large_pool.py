"""A pool of thousands of personas from the file to verl's dataset: the draws of a small pool, in bounded memory."""

import json
import pickle
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from permix_verl import PersonaPool, UserError, load_pool
from permix_verl.cli import prep
from permix_verl.data.schema import read_draw
from permix_verl.personas.mixing import PersonaDraw, validation_personas
from permix_verl.personas.pool import LARGE_POOL
from permix_verl.personas.pool_arrow import POOL_FILE, StoredPersonas

from ...fast.data.test_rl_dataset import build, seen

WORDS = "the quiet baker of Oslo counts apples, pears and long ladders while his friends sing at noon".split()  # noqa: SIM905


def write_pool(file: Path, count: int, words: int) -> Path:
    rng = random.Random(0)
    with file.open("w") as lines:
        for number in range(count):
            text = f"You are {' '.join(rng.choices(WORDS, k=words))} {number}."
            record = {"key": f"p{number}", "category": f"c{number % 4}", "system_prompt": text}
            lines.write(json.dumps(record) + "\n")
    return file


@pytest.fixture(scope="module")
def pool_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pool(tmp_path_factory.mktemp("pool") / "many.jsonl", LARGE_POOL + 100, 5)


def prepare(problems: Path, tokenizer_folder: Path, pool: Path, out: Path, *more: str) -> dict[str, Any]:
    given = ["--data", str(problems), "--tokenizer", str(tokenizer_folder), "--val-problems", "2", "--out", str(out)]
    prep.main([*given, "--personas", str(pool), *more])
    return dict(json.loads((out / "manifest.json").read_text()))


@pytest.fixture
def prepared(problem_file: Path, tokenizer_folder: Path, pool_file: Path, tmp_path: Path) -> Path:
    prepare(problem_file, tokenizer_folder, pool_file, tmp_path / "out", "--dev-personas", "30")
    return tmp_path / "out"


def test_the_personas_lie_beside_the_data_and_the_draws_are_those_of_a_small_pool(
    prepared: Path, pool_file: Path, tokenizer: Any
) -> None:
    manifest = json.loads((prepared / "manifest.json").read_text())
    assert {file.name for file in prepared.iterdir()} == {"train.parquet", "val.parquet", "manifest.json", POOL_FILE}
    metadata = pq.read_schema(prepared / "train.parquet").metadata
    assert sum(map(len, metadata.values())) < 5000
    small = PersonaPool("many", tuple(load_pool(pool_file)))
    draw = PersonaDraw(small, 0, dev_personas=tuple(manifest["dev_personas"]))
    dataset = build(prepared / "train.parquet", tokenizer, epochs=3, shuffle=False)
    assert isinstance(dataset.draw.pool.personas, StoredPersonas)
    for position in range(len(dataset)):
        info, prompt = dataset[position]["extra_info"], dataset[position]["raw_prompt"]
        expected = draw.persona(info["epoch"], info["row_id"])
        assert expected is not None
        assert (info["persona"], prompt[0]["content"]) == (expected.key, expected.system_prompt)
        assert info["persona"] not in draw.dev_personas


def test_validation_is_under_at_most_25_personas_with_the_development_personas(prepared: Path, pool_file: Path) -> None:
    manifest = json.loads((prepared / "manifest.json").read_text())
    keys = Counter(row["extra_info"]["persona"] for row in pq.read_table(prepared / "val.parquet").to_pylist())
    assert set(keys) == {*manifest["dev_personas"], "no_persona"}, "all 30 were asked for"
    pool = load_pool(pool_file)
    assert len(validation_personas(pool, 25, 0, manifest["dev_personas"][:5])) == 25


def test_workers_pickles_and_a_resume_change_nothing(prepared: Path, tokenizer: Any) -> None:
    dataset = build(prepared / "train.parquet", tokenizer, epochs=2, shuffle=False)
    whole = seen(dataset)
    for workers, skip in ((0, 7), (2, 3)):
        assert seen(dataset, workers, skip=skip) == whole[skip:]
    assert len(pickle.dumps(dataset.draw)) < 5000
    copied = pickle.loads(pickle.dumps(dataset.draw))
    assert copied.persona(1, "gsm8k/train/x") == dataset.draw.persona(1, "gsm8k/train/x")


def test_a_missing_or_changed_pool_file_ends_the_load(prepared: Path, tokenizer: Any) -> None:
    file = prepared / POOL_FILE
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(UserError, match=r"personas\.arrow is not the file that the data were prepared with"):
        build(prepared / "train.parquet", tokenizer)
    file.unlink()
    with pytest.raises(UserError, match=r"are missing: no .*personas\.arrow; prepare the data again"):
        read_draw(str(prepared / "train.parquet"))


def test_a_small_pool_replaces_a_large_one_and_the_same_command_gives_the_same_bytes(
    problem_file: Path, tokenizer_folder: Path, pool_file: Path, prepared: Path
) -> None:
    before = {file.name: file.read_bytes() for file in prepared.iterdir()}
    prepare(problem_file, tokenizer_folder, pool_file, prepared, "--dev-personas", "30")
    assert {file.name: file.read_bytes() for file in prepared.iterdir()} == before
    manifest = prepare(problem_file, tokenizer_folder, Path("train"), prepared)
    assert not (prepared / POOL_FILE).exists()
    assert manifest["pool"]["size"] == 25


def test_positional_ids_keep_the_draw_of_begun_runs(
    problem_file: Path, tokenizer_folder: Path, pool_file: Path, tmp_path: Path
) -> None:
    prepare(problem_file, tokenizer_folder, pool_file, tmp_path, "--row-ids", "position")
    small = PersonaPool("many", tuple(load_pool(pool_file)))
    draw = read_draw(str(tmp_path / "train.parquet"))
    assert draw is not None
    assert draw.to_json() == PersonaDraw(small, 0).to_json()
    assert not (tmp_path / POOL_FILE).exists()


MEASURE = """
import pickle, sys
from pathlib import Path
import pyarrow, pyarrow.compute, pyarrow.ipc
from permix_verl.personas.mixing import PersonaDraw
from permix_verl.personas.pool import PersonaPool, load_pool
status = Path("/proc/self/status")  # getrusage's peak begins with that of the process that started this one
peak = lambda: int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
load_pool("train"); pyarrow.array(["x"])  # which imports pandas
before = peak()
if sys.argv[1] == "load":
    pool = load_pool(sys.argv[2])
elif sys.argv[1] == "objects":
    pool = PersonaPool("own", tuple(load_pool(sys.argv[2])))
else:
    draw = pickle.loads(Path(sys.argv[2]).read_bytes())
    for number in range(2000):
        draw.persona(0, str(number))
print(peak() - before)
"""


def grown(*arguments: object) -> float:
    """Return the MiB by which a process's peak grows in one of the ways of ``MEASURE``."""
    command = [sys.executable, "-c", MEASURE, *map(str, arguments)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="no /proc")
def test_twenty_thousand_personas_load_in_bounded_memory_and_a_worker_holds_few(tmp_path: Path) -> None:
    file = write_pool(tmp_path / "many.jsonl", 20_000, 60)
    sent = tmp_path / "draw.pickle"
    sent.write_bytes(pickle.dumps(PersonaDraw(load_pool(file), 0).stored(tmp_path)))
    size = file.stat().st_size / 2**20
    load, worker, objects = grown("load", file), grown("worker", sent), grown("objects", file)
    assert load < 10 + 5 * size, (size, load, worker, objects)
    assert worker < 4 + 1.5 * size, (size, load, worker, objects)
    assert objects > worker + size, (size, load, worker, objects)  # objects would be noticed


def test_every_wording_comes_over_the_epochs_under_its_personas_key(
    problem_file: Path, tokenizer_folder: Path, tmp_path: Path, tokenizer: Any
) -> None:
    file, texts = tmp_path / "worded.jsonl", {"cook": ["You cook.", "Cooking is your trade."], "pilot": ["You fly."]}
    file.write_text("".join(json.dumps({"key": key, "system_prompt": text}) + "\n" for key, text in texts.items()))
    prepare(problem_file, tokenizer_folder, file, tmp_path / "out")
    dataset = build(tmp_path / "out" / "train.parquet", tokenizer, epochs=3, shuffle=False)
    counts: Counter[tuple[str, str]] = Counter()
    for position in range(len(dataset)):
        item = dataset[position]
        counts[item["extra_info"]["persona"], item["raw_prompt"][0]["content"]] += 1
    assert counts.keys() == {(key, text) for key, wordings in texts.items() for text in wordings}
    assert min(counts.values()) > len(dataset) / 8
    val = {row["prompt"][0]["content"] for row in pq.read_table(tmp_path / "out" / "val.parquet").to_pylist()}
    assert {"You cook.", "You fly."} < val
    assert "Cooking is your trade." not in val, "validation is under the first wording"
