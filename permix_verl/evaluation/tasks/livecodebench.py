"""LiveCodeBench (arXiv 2403.07974): contest problems, solved by programs that must pass all tests of a problem.

    python eval/run.py --tasks livecodebench -T release=v1 -T difficulty=easy,medium ...
    python eval/run.py --tasks livecodebench=/path/to/code_generation_lite -T start_date=2024-08-01 ...

{"question_content": "You are given ...", "platform": "atcoder", "question_id": "abc301_a", "contest_date":
 "2023-05-13T00:00:00", "starter_code": "", "difficulty": "easy", "public_test_cases": "[{\\"input\\": ...}]",
 "private_test_cases": "eJxrYJ...", "metadata": "{}"}

The tests stay in their file: a problem's gold is a hash of them, and they are read when a completion is judged.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from permix_verl.code import extract_program
from permix_verl.code.livecodebench import FIRST, HUB_NAME, RELEASES, Selection, find_cases, read_rows
from permix_verl.code.scheduler import make_judge
from permix_verl.evaluation.tasks import EvalProblem, Task, Verify
from permix_verl.personas.prompts import code_question, user_message


def livecodebench(args: Mapping[str, str]) -> Task:
    """Return the task with the settings of ``-T``.

    Raises:
        UserError: an unknown setting.
    """
    selection = Selection.from_args(args)

    def load(source: str) -> list[EvalProblem]:
        make_judge(selection.sandbox)  # fails before generation if no program can be run
        return load_problems(source, selection)

    def score(output: str, problem: EvalProblem, verify: Verify) -> Mapping[str, Any]:
        del verify  # it compares mathematical answers
        cases = find_cases(problem.gold, problem.id)
        judgement = make_judge(selection.sandbox)(extract_program(output, cases.call), cases)
        return {"status": judgement.status, "pred": judgement.summary}

    return Task(
        name="livecodebench",
        source=HUB_NAME,
        max_tokens=2000,
        load=load,
        prompt=lambda problem: user_message(problem.question, "code"),
        score=score,
        gold_output=None,
        args={name: value for name, value in args.items() if name != "sandbox"},
        configure=livecodebench,
        groups=lambda problems: groups(problems, selection),
    )


def load_problems(source: str, selection: Selection) -> list[EvalProblem]:
    """Return the problems of a source, with ids that contain release and difficulty.

    Raises:
        UserError: see :func:`permix_verl.code.livecodebench.read_rows`.
    """
    return [
        EvalProblem(
            "/".join(part for part in ("livecodebench", row.release, row.difficulty, row.name) if part),
            code_question(row.statement, row.starter_code),
            row.tests,
        )
        for row in read_rows(source, selection)
    ]


def groups(problems: Sequence[EvalProblem], selection: Selection) -> dict[str, list[str]]:
    """Return the parts reported separately: each difficulty and all, of the first and of the selected release."""
    id_parts = [(problem.id, problem.id.split("/")) for problem in problems]
    released = bool(id_parts) and id_parts[0][1][1] in RELEASES
    difficulties = [*selection.difficulty, ""] if len(selection.difficulty) > 1 else list(selection.difficulty) or [""]
    order = list(RELEASES)
    parts_by_name = {}
    for release in dict.fromkeys((FIRST, selection.release)) if released else ("",):
        until = order[: order.index(release) + 1] if release else []
        for difficulty in difficulties:
            ids = [
                identity
                for identity, parts in id_parts
                if (not released or parts[1] in until) and difficulty in ("", parts[-2])
            ]
            name = "_".join(part for part in ("livecodebench", release, difficulty) if part)
            if ids:
                parts_by_name[f"{name}{selection.window()}"] = ids
    return parts_by_name


TASK = livecodebench({})
