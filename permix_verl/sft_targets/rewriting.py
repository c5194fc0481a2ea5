"""Prompt for a rewriter: restate a solution in a persona's voice (Appendix B.2 of arXiv 2604.08986, "styled").

The paper rewrites with GPT-5-mini and does not publish its prompt; this one is our own. Variable parts stand between
tags, so that a program can act as the rewriter too (``permix_verl.lab.rewriter``, and a scripted server in the tests).
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
    """Build the chat that asks for a problem's solution in a persona's voice."""
    parts = {"persona": persona.system_prompt, "problem": problem.question.strip(), "solution": boxed_solution(problem)}
    return [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": "\n\n".join(f"<{name}>\n{text}\n</{name}>" for name, text in parts.items())},
    ]


def read_part(messages: Sequence[Message], name: str) -> str:
    """Return the text between a part's tags in a chat of :func:`rewriting_messages`."""
    match = re.search(rf"<{name}>\n(.*?)\n</{name}>", messages[-1]["content"], re.DOTALL)
    assert match is not None, f"the chat has no <{name}>"
    return match[1]
