"""Final answers out of the fields of data sets."""

import pytest

from permix_verl.data.golds import GOLD_FORMS, gold_text, guess_form


@pytest.mark.parametrize(
    ("form", "text", "gold"),
    [
        ("boxed", "So \\boxed{3}, no, \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("boxed", "It is $\\boxed{\\{1, 2\\}}$.", "\\{1, 2\\}"),
        ("boxed", "There are \\boxed 2$ of them.", "2"),
        ("boxed", "\\fbox{ 7 }", "7"),
        ("last-number", "16 - 3 = 13, so $1,234.50 in all", "1234.50"),
        ("last-number", "It falls to -4.", "-4"),
        ("last-number", "page 1,2 and 3", "3"),
        ("hash", "x\n#### 1,234", "1234"),
        ("field", " $\\frac12$ ", "\\frac12"),
        ("field", "\\(7\\)", "7"),
        ("field", "\\boxed{x^{2}}", "x^{2}"),
        ("field", "$5$ and $6$", "$5$ and $6$"),
        ("field", "x = 5", "x = 5"),
    ],
)
def test_forms(form: str, text: str, gold: str) -> None:
    assert GOLD_FORMS[form](text) == gold


@pytest.mark.parametrize(
    ("form", "text", "reason"),
    [
        ("boxed", "so it is 7", "no \\\\boxed"),
        ("boxed", "\\boxed{7", "not closed"),
        ("boxed", "\\boxed{}", "empty"),
        ("last-number", "none at all", "no number"),
        ("hash", "so 7", "no '####'"),
        ("field", "  ", "empty"),
        ("field", "proof", "'proof' stands for no answer"),
        ("field", "NotFound", "stands for no answer"),
    ],
)
def test_what_holds_no_answer_says_why(form: str, text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        GOLD_FORMS[form](text)


def test_numbers_are_texts_and_other_values_are_not() -> None:
    assert [gold_text(value) for value in (7, 2.5, "x")] == ["7", "2.5", "x"]
    for value in (None, True, [1], {"a": 1}):
        with pytest.raises(ValueError, match=r"empty|neither a text nor a number"):
            gold_text(value)
    with pytest.raises(ValueError, match="not valid Unicode"):
        gold_text("\ud83d")


def test_a_form_is_guessed_from_the_first_answer() -> None:
    assert [guess_form(text) for text in ("2\n#### 2", "so \\boxed{2}", "\\boxed{2}", "2", 2)] == [
        *("hash", "boxed", "field", "field", "field")
    ]
