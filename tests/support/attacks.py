"""Programs that attack the process that runs them (``tests/data/attacks.jsonl``), for test_attacks.py.

Each leaves evidence if it succeeds, and prints its token only after the attack has succeeded. ``@NAME@`` stands for
the value that a ``World`` (test_attacks.py) has under that name; a program that means to run for ever prints
``begun``.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_DATA = Path(__file__).resolve().parents[1] / "data" / "attacks.jsonl"

Evidence = Literal[
    "judged",  # a wrong program is judged correct
    "printed",  # the token is printed
    "read",  # a secret is printed
    "changed",  # a file outside is changed or created
    "connected",  # a server on this machine is called
    "killed",  # a process of somebody else is killed
    "survived",  # a process of the program is alive after the program's end
    "outlived",  # the program runs past its time limit
    "flooded",  # the output is too large to keep
]


@dataclass(frozen=True)
class Attack:
    """A program and the evidence of its success.

    Attributes:
        call: function to call; ``None`` for a program that reads standard input.
        again: a second program, run after it, that looks for what the first one left.
        refusable: some machines refuse this anyway, or refuse it to users other than root.
        as_nobody: the unisolated run uses a user without other processes.
    """

    name: str
    shows: Evidence
    program: str
    call: str | None = None
    again: str | None = None
    refusable: bool = False
    as_nobody: bool = False


with _DATA.open(encoding="utf-8") as _lines:
    ATTACKS = tuple(Attack(**json.loads(line)) for line in _lines)
