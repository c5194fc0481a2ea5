"""The table of row ids against a dict, through many growths."""

import random

from permix_verl.data.id_table import IdTable, digest


def test_the_table_is_a_dict_that_never_forgets() -> None:
    rng, table, known = random.Random(0), IdTable(), dict[str, str]()
    for _ in range(60_000):
        row_id, content = f"a/train/{rng.randrange(20_000)}", f"problem {rng.randrange(2)}"
        expected = None if row_id not in known else known[row_id] == content
        assert table.add(row_id, content) is expected
        known.setdefault(row_id, content)
    assert len(table) == len(known) > 15_000
    assert all(table.add(row_id, content) for row_id, content in known.items())


def test_a_slot_costs_twelve_bytes() -> None:
    table = IdTable()
    for number in range(50_000):
        table.add(str(number), "x")
    assert table._keys.itemsize + table._values.itemsize == 12
    assert 50_000 / 0.65 <= len(table._keys) <= 4 * 50_000
    assert digest("a") != digest("b")
