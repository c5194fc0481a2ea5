"""The sampled persona is uniform, depends on (seed, epoch, row id) only, and is stable."""

import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from permix_verl import UserError, draw_persona, load_pool
from permix_verl.personas.mixing import PersonaDraw, development_personas, validation_personas
from permix_verl.personas.pool import Persona, PersonaPool

POOL = load_pool("train")


def draws(row_ids: list[str], seed: int, epoch: int = 0) -> list[str]:
    return [draw_persona(POOL, seed, epoch, row_id).key for row_id in row_ids]


@pytest.fixture(scope="module")
def lengths(shared_data: Path) -> np.ndarray:
    rows = (shared_data / "gsm8k" / "train.jsonl").read_text().splitlines()
    return np.array([len(json.loads(row)["question"]) for row in rows])


def test_a_persona_draw_is_the_same_in_every_process_and_release() -> None:
    # Recorded values: a change here changes every run's data.
    assert [draw_persona(POOL, 0, 0, f"gsm8k/train/{i}").key for i in range(4)] == FIRST_DRAWS


FIRST_DRAWS = ["farmer", "intern", "conspiracy theorist", "cryptographer"]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_draws_and_json_of_pools_without_weights_and_wordings_are_those_of_the_first_release() -> None:
    """Begun runs compare the bytes of their data, with the draw in them; the values are those of the first release."""
    held_out = development_personas(POOL, "5", 3)
    for draw, json_digest, drawn_digest in (
        (
            PersonaDraw(POOL, 0),
            "8e144140cdc7bb42f60c02132525dfbd0c565cb6795c53d9291fd12d6d2c2320",
            "1833e25907be7d78594cfef480a61cc686777f8f0decb7fc46561057f772426b",
        ),
        (
            PersonaDraw(POOL, 3, 0.25, 1, held_out),
            "76829e9cba967d17009747af3dc334911c00a29fcae4832ebe05370ee52b990f",
            "199bf24c1f8764db763bd8a9a2265e571abf949165fd1a1f74ff3866f8865b1e",
        ),
    ):
        assert digest(draw.to_json()) == json_digest
        drawn = [draw.persona(epoch, f"gsm8k/train/{i}") for epoch in range(3) for i in range(2000)]
        assert digest("\n".join(one.key if one else "-" for one in drawn)) == drawn_digest
    own = PersonaPool("own", tuple(Persona(f"p {i}", f"c{i % 3}", f"You are person {i}.") for i in range(777)))
    assert digest(PersonaDraw(own, 5).to_json()) == "60f8e3f55fb99c3c92bb01f15d9d68a097a58a1411813e737f23302ea34653c8"
    keys = [draw_persona(own, 5, epoch, f"r{i}").key for epoch in range(2) for i in range(3000)]
    assert digest("\n".join(keys)) == "74ab4728f084eb9f2de3e4869f59240063b5a0702d963ce50851cd5b813ee43f"


def test_a_wording_is_drawn_uniformly_and_independently_of_the_persona() -> None:
    texts = ("You cook.", "Cooking is your trade.", "A cook, you are.")
    chef = Persona("chef", "", texts[0], paraphrases=texts[1:])
    pool = PersonaPool("own", (chef, Persona("pilot", "", "You fly.")))
    plain = PersonaPool("own", (replace(chef, paraphrases=()), Persona("pilot", "", "You fly.")))
    drawn = [(draw_persona(pool, 1, epoch, f"r{i}"), i) for epoch in range(2) for i in range(3000)]
    assert [one.key for one, _ in drawn[:3000]] == [draw_persona(plain, 1, 0, f"r{i}").key for i in range(3000)]
    counts = Counter(one.system_prompt for one, _ in drawn)
    assert set(counts) == {*texts, "You fly."}
    assert stats.chisquare([counts[text] for text in texts]).pvalue > 0.001
    assert stats.chisquare([counts["You fly."], sum(counts[text] for text in texts)]).pvalue > 0.001
    assert all(one.wordings == (one.system_prompt,) for one, _ in drawn)
    first, second = drawn[:3000], drawn[3000:]
    both = [
        a.system_prompt == b.system_prompt
        for (a, _), (b, _) in zip(first, second, strict=True)
        if a.key == b.key == "chef"
    ]
    assert 0.28 < sum(both) / len(both) < 0.39, "wordings are drawn anew in every epoch"


def test_validation_personas_are_a_seeded_subset_with_the_development_personas() -> None:
    pool = PersonaPool("own", tuple(Persona(f"p{i}", "", f"{i}") for i in range(200)))
    assert validation_personas(POOL, 25, 0) == POOL.personas
    assert validation_personas(POOL, 10**6, 0) == POOL.personas
    chosen = validation_personas(pool, 25, 0)
    assert len(chosen) == 25
    assert chosen == tuple(one for one in pool if one in chosen), "in the pool's order"
    assert chosen != pool.personas[:25]
    assert chosen == validation_personas(pool, 25, 0)
    assert chosen != validation_personas(pool, 25, 1)
    assert set(validation_personas(pool, 10, 0)) < set(chosen)
    dev = ("p3", "p150")
    with_dev = validation_personas(pool, 25, 0, dev)
    assert len(with_dev) == 25
    assert {"p3", "p150"} <= {one.key for one in with_dev}
    assert len(set(with_dev) - set(chosen)) <= 2
    assert [one.key for one in validation_personas(pool, 1, 0, dev)] == ["p3", "p150"], "none of them is left out"
    others = PersonaPool("own", tuple(reversed(pool.personas)))
    assert set(validation_personas(others, 25, 0)) == set(chosen), "a persona's place does not matter"
    with pytest.raises(UserError, match="validation under 0 personas; ask for at least 1"):
        validation_personas(pool, 0, 0)


def test_seed_epoch_and_row_each_change_the_draw() -> None:
    rows = [f"gsm8k/train/{i}" for i in range(2000)]
    base = draws(rows, seed=0)
    for other in (draws(rows, seed=1), draws(rows, seed=0, epoch=1), draws([f"{row}0" for row in rows], seed=0)):
        same = sum(a == b for a, b in zip(base, other, strict=True)) / len(rows)
        assert 0.02 < same < 0.06, "independent draws over 25 personas coincide 4 % of the time"


def test_draws_are_uniform_over_twenty_seeds(lengths: np.ndarray) -> None:
    rows = [f"gsm8k/train/{i}" for i in range(len(lengths))]
    for seed in range(20):
        counts = Counter(draws(rows, seed))
        assert stats.chisquare([counts[key] for key in POOL.keys]).pvalue > 0.001, f"seed {seed}"


def test_draws_are_independent_of_length_and_of_neighbours(lengths: np.ndarray) -> None:
    rows = [f"gsm8k/train/{i}" for i in range(len(lengths))]
    keys = np.array([POOL.keys.index(key) for key in draws(rows, seed=0)])
    assert stats.kruskal(*[lengths[keys == persona] for persona in range(len(POOL))]).pvalue > 0.001
    pairs = np.zeros((len(POOL), len(POOL)))
    np.add.at(pairs, (keys[:-1], keys[1:]), 1)
    assert stats.chi2_contingency(pairs).pvalue > 0.001


def test_a_biased_draw_would_be_caught(lengths: np.ndarray) -> None:
    """Negative control: personas dealt by row length are not uniform within lengths."""
    keys = np.argsort(np.argsort(lengths)) * len(POOL) // len(lengths)
    assert stats.kruskal(*[lengths[keys == persona] for persona in range(len(POOL))]).pvalue < 0.001


def test_draws_without_the_held_out_personas_are_uniform_over_the_others() -> None:
    rows = [f"gsm8k/train/{i}" for i in range(6000)]
    for seed in range(5):
        held_out = development_personas(POOL, "5", seed)
        draw = PersonaDraw(POOL, seed, dev_personas=held_out)
        counts: Counter[str] = Counter()
        for epoch in range(2):
            counts.update(persona.key for row in rows if (persona := draw.persona(epoch, row)))
        assert set(counts) == set(POOL.keys) - set(held_out)
        assert stats.chisquare(list(counts.values())).pvalue > 0.001, f"seed {seed}"


def test_a_number_of_held_out_personas_is_drawn_from_the_seed_and_every_persona_can_be() -> None:
    drawn = [development_personas(POOL, "5", seed) for seed in range(200)]
    assert drawn == [development_personas(POOL, "5", seed) for seed in range(200)]
    assert all(len(set(keys)) == 5 for keys in drawn)
    counts = Counter(key for keys in drawn for key in keys)
    assert stats.chisquare([counts[key] for key in POOL.keys]).pvalue > 0.001
    assert set(development_personas(POOL, "3", 0)) < set(development_personas(POOL, "5", 0))


def test_held_out_personas_are_named_by_key_or_slug_in_any_order() -> None:
    assert development_personas(POOL, "zen_master, chef", 0) == ("chef", "zen master")
    assert development_personas(POOL, "harry potter", 7) == ("harry potter",)
    assert development_personas(POOL, "", 0) == development_personas(POOL, "0", 0) == ()


@pytest.mark.parametrize("asked", [r"chef,Smith\, John", r" Smith\, John , chef ", r"Smith\,_John,chef"])
def test_a_key_with_a_comma_is_named_with_a_backslash_before_it(asked: str) -> None:
    personas = [Persona(key, "", f"You are {key}.") for key in ("chef", "Smith, John", "Smith", "John", "pilot")]
    pool = PersonaPool("own", tuple(personas))
    assert development_personas(pool, asked, 0) == ("chef", "Smith, John")
    assert development_personas(pool, "Smith, John", 0) == ("Smith", "John"), "without one these are two keys"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("25", "25 of the 25 personas of pool train held out leave none to train with; hold out at most 24"),
        ("chef,cheff", "unknown persona 'cheff' in pool train; known: statistician"),
        ("zen master,zen_master", "name one twice"),
        ("-1", "unknown persona '-1'"),
    ],
)
def test_invalid_held_out_personas_are_refused(asked: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        development_personas(POOL, asked, 0)


def test_a_draw_survives_its_file_and_keeps_its_bytes_without_held_out_personas() -> None:
    draw = PersonaDraw(POOL, 3, dev_personas=("chef",))
    assert PersonaDraw.from_json(draw.to_json()) == draw
    assert "held_out" not in PersonaDraw(POOL, 3).to_json()
    assert PersonaDraw.from_json(PersonaDraw(POOL, 3).to_json()).dev_personas == ()
