"""A large pool: the same draws from a file that processes share, and a clear error without the file."""

import gc
import json
import multiprocessing
import operator
import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from permix_verl import Persona, PersonaPool, UserError, check_disjoint, load_pool
from permix_verl.personas.mixing import PersonaDraw, development_personas, validation_personas
from permix_verl.personas.pool_arrow import BATCH, POOL_FILE, StoredPersonas, build_table

ROWS = [f"gsm8k/train/{i}" for i in range(300)]


def persona(number: int) -> Persona:
    wordings = (f"You are number {number}, reworded.",) if number % 7 == 0 else ()
    text = f" You are {number}:\n\n  {{{{ x }}}} \N{EURO SIGN} "
    return Persona(f"key {number}", f"c{number % 3}", text, 1 + number % 4, wordings)


POOL = PersonaPool("own", tuple(map(persona, range(500))))
PLAIN = PersonaPool("own", tuple(replace(one, weight=1.0, paraphrases=()) for one in POOL))


def keys_and_texts(draw: PersonaDraw) -> list[tuple[str, str] | None]:
    drawn = [draw.persona(epoch, row) for epoch in range(2) for row in ROWS]
    return [(one.key, one.system_prompt) if one else None for one in drawn]


def draws() -> Iterator[PersonaDraw]:
    for pool in (POOL, PLAIN):
        for count in ("0", "20"):
            yield PersonaDraw(pool, 5, 0.1, dev_personas=development_personas(pool, count, 5))


def test_small_and_large_storage_give_the_same_draws(tmp_path: Path) -> None:
    for draw in draws():
        stored = draw.stored(tmp_path, large=0)
        assert isinstance(stored.pool.personas, StoredPersonas)
        read = PersonaDraw.from_json(stored.to_json(), tmp_path)
        sent = pickle.loads(pickle.dumps(read))
        expected = keys_and_texts(draw)
        for other in (stored, read, sent):
            assert keys_and_texts(other) == expected
            assert other.pool.sha256() == draw.pool.sha256()
            assert other == stored


def test_other_draws_would_be_noticed(tmp_path: Path) -> None:
    draw = PersonaDraw(POOL, 5)
    assert keys_and_texts(draw) != keys_and_texts(replace(draw, seed=6).stored(tmp_path, large=0))
    assert keys_and_texts(draw) != keys_and_texts(PersonaDraw(PLAIN, 5))


def test_a_stored_pool_answers_as_a_small_one_does(tmp_path: Path) -> None:
    stored = PersonaDraw(POOL, 0).stored(tmp_path, large=0).pool
    assert stored.keys == POOL.keys
    assert list(stored) == list(POOL)
    assert stored.categories() == POOL.categories()
    assert stored.get("key 77") == POOL.get("key 77")
    assert (stored.personas[-1], stored.personas[3:5]) == (POOL.personas[-1], POOL.personas[3:5])
    assert list(stored.wordings()) == list(POOL.wordings())
    positions = [0, 3, 8, 400]
    assert list(stored.wordings_at(positions)) == [list(POOL.wordings())[position] for position in positions]
    texts = [text for _, array in stored.text_chunks() for text in array.to_pylist()]
    assert texts == [one.system_prompt for one in POOL.wordings()]
    assert validation_personas(stored, 5, 1) == validation_personas(POOL, 5, 1)
    for number in (500, -501):
        with pytest.raises(IndexError):
            stored.personas[number]
    with pytest.raises(UserError, match=r"unknown persona 'key 500' in pool own; known: key 0, .*and 450 more"):
        stored.get("key 500")


def test_a_stored_pool_without_some_keys_is_the_small_one_without_them(tmp_path: Path) -> None:
    left_out = ("key 0", "key 1", "key 250", "key 499")
    stored, small = PersonaDraw(POOL, 0).stored(tmp_path, large=0).pool.without(left_out), POOL.without(left_out)
    assert len(stored) == 496
    assert list(stored) == list(small)
    assert [stored.personas[i] for i in range(496)] == list(small)
    assert stored.keys == small.keys
    assert stored.get("key 251") == POOL.get("key 251")
    with pytest.raises(UserError, match="unknown persona 'key 250'"):
        stored.get("key 250")
    again = PersonaDraw(stored, 0).stored(tmp_path / "..", large=0).pool
    assert list(again) == list(small)
    (tmp_path / ".." / POOL_FILE).unlink()


def test_a_file_above_the_limit_is_loaded_into_a_table(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    records = [{"key": one.key, "category": one.category, "system_prompt": list(one.wordings)} for one in PLAIN]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert isinstance(load_pool(file).personas, tuple)
    large = load_pool(file, large=499)
    assert isinstance(large.personas, StoredPersonas)
    assert large.sha256() == load_pool(file, large=500).sha256() == PLAIN.sha256()
    check_disjoint(large, load_pool("eval"))
    with pytest.raises(ValueError, match="are not stored in a file yet"):
        PersonaDraw(large, 0).to_json()
    embedded = PersonaDraw(large, 0).stored(tmp_path, large=500)
    assert embedded.to_json() == PersonaDraw(PLAIN, 0).to_json()
    assert not (tmp_path / POOL_FILE).exists()


def test_the_json_of_a_stored_pool_names_its_file_and_hash(tmp_path: Path) -> None:
    text = PersonaDraw(POOL, 3, 0.5, 1, ("key 4",)).stored(tmp_path, large=0).to_json()
    record = json.loads(text)
    assert record.keys() == {
        *("seed", "epoch", "no_persona_probability", "pool", "pool_file", "pool_sha256", "held_out")
    }
    assert len(text) < 300


def test_a_missing_or_changed_file_is_one_clear_error(tmp_path: Path) -> None:
    stored = PersonaDraw(POOL, 0).stored(tmp_path, large=0)
    sent, file = pickle.dumps(stored), tmp_path / POOL_FILE
    PersonaDraw(PLAIN, 0).stored(tmp_path, large=0)
    for read in (lambda: PersonaDraw.from_json(stored.to_json(), tmp_path), lambda: pickle.loads(sent)):
        with pytest.raises(UserError, match=f"{file} is not the file that the data were prepared with"):
            read()
    file.unlink()
    for read in (lambda: PersonaDraw.from_json(stored.to_json(), tmp_path), lambda: pickle.loads(sent)):
        with pytest.raises(UserError, match=f"no {file}; prepare the data again"):
            read()


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    import hashlib

    (tmp_path / POOL_FILE).write_bytes(b"no arrow")
    with pytest.raises(UserError, match="cannot read the personas in"):
        StoredPersonas.open(tmp_path / POOL_FILE, hashlib.sha256(b"no arrow").hexdigest())


def test_the_pool_of_a_pickled_data_set_is_not_in_its_bytes(tmp_path: Path) -> None:
    in_memory = PersonaPool("own", StoredPersonas(build_table(POOL)))
    on_disk = PersonaDraw(POOL, 0).stored(tmp_path, large=0)
    for draw in (on_disk, PersonaDraw(in_memory, 0)):
        draw.persona(0, "row")  # which fills what is cached
        assert len(pickle.dumps(draw)) < 1000
    assert len(pickle.dumps(PersonaDraw(POOL, 0))) > 10_000


def test_a_table_in_memory_reaches_a_spawned_process_and_its_file_ends_with_it() -> None:
    pool = PersonaPool("own", StoredPersonas(build_table(POOL)))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        assert executor.submit(len, pool).result() == 500
        assert executor.submit(operator.getitem, pool.personas, 0).result() == POOL.personas[0]
    assert isinstance(pool.personas, StoredPersonas)
    file = pool.personas.path
    assert file is not None
    assert file.is_file()
    del pool
    gc.collect()
    assert not file.exists()


def test_batches_do_not_show(tmp_path: Path) -> None:
    pool = PersonaPool("own", tuple(persona(number) for number in range(BATCH + 5)))
    stored = PersonaDraw(pool, 0).stored(tmp_path).pool
    assert isinstance(stored.personas, StoredPersonas)
    assert [stored.personas[i] for i in (BATCH - 1, BATCH, BATCH + 4)] == [
        pool.personas[i] for i in (BATCH - 1, BATCH, BATCH + 4)
    ]
