"""Where problem, final answer and id stand in a source's rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from permix_verl.data.golds import FINAL_ANSWER_MARK, guess_form
from permix_verl.data.row_ids import CONTENT, ID_FIELDS, field_names, field_of
from permix_verl.data.source_spec import SourceSpec
from permix_verl.errors import UserError

VERL_PROMPT, VERL_GOLD, VERL_INDEX = "prompt", "reward_model.ground_truth", "extra_info.index"


@dataclass(frozen=True, slots=True)
class Layout:
    """Fields of a row, with dots into structs.

    Attributes:
        question: the problem: a text, or a list of messages with one of the user's.
        answer: field with the final answer.
        gold: form of that field.
        solution: field of the worked solution; ``None`` if there is none.
        id_field: field of the ids; ``None`` or :data:`~permix_verl.data.row_ids.CONTENT`: a hash of the content.
        id_needed: whether a row without an id is an error; otherwise its content is hashed.
        source_field: field whose last part names the row's source; only of verl's schema.
    """

    question: str
    answer: str
    gold: str
    solution: str | None = None
    id_field: str | None = None
    id_needed: bool = False
    source_field: str | None = None

    @property
    def columns(self) -> list[str]:
        """Columns that are read, by their names with and without what follows a dot."""
        named = [self.question, self.answer, self.solution, self.id_field, self.source_field]
        named += ["extra_info"] if self.source_field else []
        return sorted({name for field in named if field for name in (field, field.partition(".")[0])})

    @property
    def is_gsm8k(self) -> bool:
        """Whether the rows are in GSM8K's format."""
        return (self.question, self.answer, self.gold) == ("question", "answer", "hash")

    def describe(self) -> str:
        """Return what is read where, in words."""
        forms = {
            "hash": "behind the last #### of {}",
            "boxed": "in the last box of {}",
            "last-number": "the last number of {}",
            "field": "{} as it stands",
        }
        ids = repr(self.id_field) if self.id_field not in (None, CONTENT) else "a hash of problem and final answer"
        answer = forms[self.gold].format(repr(self.answer))
        return f"problem {self.question!r}, final answer {answer}, id {ids}"


def find_layout(record: Any, spec: SourceSpec, where: str) -> Layout:
    """Return the layout of a source from its options, its preset and its first record.

    Raises:
        UserError: a field that is not there, or fields of no known form and none named.
    """
    if not isinstance(record, Mapping):
        raise UserError(f"{where}: expected an object, got {type(record).__name__}", "write one object per row")
    options, preset = spec.options, spec.known
    if preset is not None:
        base = Layout(preset.question, preset.answer, preset.gold, preset.solution, preset.id_field)
    else:
        base = _recognise(record, spec, where)
    question, answer = options.question_field or base.question, options.answer_field or base.answer
    gold = options.gold or (base.gold if answer == base.answer else guess_form(field_of(record, answer)))
    layout = Layout(
        question=question,
        answer=answer,
        gold=gold,
        solution=_solution(record, answer, gold),
        id_field=options.id_field or base.id_field or _id_field(record),
        id_needed=options.id_field not in (None, CONTENT),
        source_field=base.source_field,
    )
    for field in (layout.question, layout.answer, *([layout.id_field] if layout.id_needed else [])):
        if field and not has_field(record, field):
            raise UserError(f"{where}: no field {field!r}", f"the fields are {', '.join(field_names(record))}")
    return layout


def has_field(record: Mapping[str, Any], field: str) -> bool:
    """Return whether a record has a field, whatever its value."""
    first, dot, rest = field.partition(".")
    if field in record:
        return True
    inner = record.get(first)
    return bool(dot) and isinstance(inner, Mapping) and has_field(inner, rest)


def _recognise(record: Mapping[str, Any], spec: SourceSpec, where: str) -> Layout:
    """Return the layout that the names of the fields give."""
    options = spec.options
    if options.question_field and options.answer_field:
        return Layout(options.question_field, options.answer_field, guess_form(field_of(record, options.answer_field)))
    gsm8k = {"question", "answer"} <= set(record) and FINAL_ANSWER_MARK in str(record["answer"])
    if isinstance(record.get(VERL_PROMPT), list) and has_field(record, VERL_GOLD) and not gsm8k:
        index = VERL_INDEX if field_of(record, VERL_INDEX) is not None else None
        return Layout(VERL_PROMPT, VERL_GOLD, "field", id_field=index, source_field="data_source")
    question = options.question_field or next((name for name in ("question", "problem") if name in record), None)
    if question == "question" and "answer" in record and not options.answer_field:
        return Layout(question, "answer", "hash")
    answer = options.answer_field or next((name for name in ("answer", "solution") if name in record), None)
    if question and answer and (question, answer) != ("question", "solution"):
        return Layout(question, answer, "boxed" if answer == "solution" else "field")
    raise UserError(
        f"{where}: no fields question and answer, problem and answer, problem and solution, or prompt and "
        f"reward_model.ground_truth, but {', '.join(field_names(record)) or 'none'}",
        "name them with --question-field and --answer-field (question-field=, answer-field= behind the source)",
    )


def _solution(record: Mapping[str, Any], answer: str, gold: str) -> str | None:
    if gold in ("hash", "boxed", "last-number"):
        return answer
    return "solution" if "solution" in record and answer != "solution" else None


def _id_field(record: Mapping[str, Any]) -> str | None:
    return next((name for name in ID_FIELDS if record.get(name) not in (None, "")), None)
