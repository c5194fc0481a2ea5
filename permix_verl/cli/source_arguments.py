"""Arguments that name problem sources and say how they are read; ``prep`` and ``prep-sft`` share them."""

import argparse
from collections.abc import Callable
from typing import Any

from permix_verl.data.gold_check import DROPPED_FILE
from permix_verl.data.golds import GOLD_FORMS
from permix_verl.data.presets import PRESETS
from permix_verl.data.records import HUB_NAME, SUFFIXES
from permix_verl.data.row_ids import ROW_IDS
from permix_verl.data.source_spec import BAD_GOLDS, DUPLICATES, KEYS, SourceOptions


def add_source_arguments(add: Callable[..., Any]) -> None:
    """Add the arguments to a parser, by its ``add_argument``."""
    add(
        "--data",
        action="append",
        metavar="SOURCE",
        help=f"NAME_OR_FILE[,key=value...]: one of {', '.join(PRESETS)}, a hub name, a folder, or a file "
        f"({', '.join(SUFFIXES)}); keys: {', '.join(KEYS)}. Several: again, or with ';' between them (docs/data.md; "
        f"default: {HUB_NAME})",
    )
    fields = "of sources that name none of their own; dots reach into structs"
    add("--question-field", help=f"field with the problem, {fields}")
    add("--answer-field", help=f"field with the final answer, {fields}")
    add("--gold", metavar="FORM", help=f"form of that field: {', '.join(GOLD_FORMS)}")
    add("--id-field", help="field with the rows' ids; 'content' takes a hash of problem and final answer")
    add("--split", help="split of a folder or of a data set on the hub")
    add("--config", help="configuration of a data set on the hub, or folder inside a folder")
    add(
        "--duplicates",
        metavar="|".join(DUPLICATES),
        help="rows that repeat an id and its problem: keep one (default), or all with numbers behind their ids",
    )
    add(
        "--bad-golds",
        metavar="|".join(BAD_GOLDS),
        help="rows whose gold does not score as correct under the reward: an error (default), or left out and listed "
        f"in {DROPPED_FILE}",
    )
    add(
        "--row-ids",
        default=ROW_IDS,
        metavar=f"{ROW_IDS}|position",
        help="position: ids, names and personas of data prepared before row ids had a version",
    )


def source_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of :class:`~permix_verl.data.preparation.Preparation` that these arguments set."""
    return {
        "source": ";".join(args.data or [HUB_NAME]),
        "options": SourceOptions(
            *(args.question_field, args.answer_field, args.gold, args.id_field, args.split, args.config),
            *(args.bad_golds, args.duplicates),
        ),
        "row_ids": args.row_ids,
    }
