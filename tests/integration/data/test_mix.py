"""``mix_personas`` on a data set that streams."""

import datasets

from permix_verl import mix_personas

ROWS = [{"question": f"What is {number} + 1?"} for number in range(5)]


def test_a_data_set_that_streams_is_mixed_row_by_row() -> None:
    mixed = mix_personas(datasets.Dataset.from_list(ROWS).to_iterable_dataset())
    assert next(iter(mixed))["persona"] == mix_personas(datasets.Dataset.from_list(ROWS))["persona"][0]
