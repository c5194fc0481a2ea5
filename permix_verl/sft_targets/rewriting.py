"""What a rewriter is asked: a solution, said again as a persona would (the paper's Appendix B.2, "styled").

The paper rewrites with GPT-5-mini and does not give its prompt; this one is ours. What varies stands between tags, so
that a program can be the rewriter as well (``permix_verl.lab.rewriter``, and a scripted server in the tests).
"""

import re
from collections.abc import Sequence

from permix_verl.data.problems import Problem
from permix_verl.personas.pool import Persona
from permix_verl.personas.prompts import Message
from permix_verl.sft_targets.ground_truth import boxed_solution

INSTRUCTIONS = (
    "You rewrite solutions of math problems. You are given a persona, a problem and its solution. Say the solution "
    "again as this persona would: its vocabulary, tone and habits. Keep the steps of the solution, every number in "
    "them and the final answer, which stays in \\boxed{}, and add nothing that is not true. Reply with the rewritten "
    "solution and nothing else."
)


def rewriting_messages(problem: Problem, persona: Persona) -> list[Message]:
    """The chat that asks for a problem's solution in a persona's voice."""
    parts = {"persona": persona.system_prompt, "problem": problem.question.strip(), "solution": boxed_solution(problem)}
    return [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": "\n\n".join(f"<{name}>\n{text}\n</{name}>" for name, text in parts.items())},
    ]


def read_part(messages: Sequence[Message], name: str) -> str:
    """What :func:`rewriting_messages` put between a part's tags."""
    found = re.search(rf"<{name}>\n(.*?)\n</{name}>", messages[-1]["content"], re.DOTALL)
    assert found is not None, f"the chat has no <{name}>"
    return found[1]
