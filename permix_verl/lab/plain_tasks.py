r"""Word problems in plain words as evaluation tasks, generated on the fly: one step, and two.

{"question": "Mia has 5 bags with 4 oranges in each. How many oranges does she have?", "answer": "...\n#### 20"}
"""

from permix_verl.evaluation.tasks import Task
from permix_verl.lab.plain_problems import generate_plain
from permix_verl.lab.tasks import generated_task

PROBLEMS = 400
MAX_TOKENS = 128


def plain_task(level: str) -> Task:
    """Build the task of a level."""
    return generated_task(level, MAX_TOKENS, lambda: generate_plain(PROBLEMS, level, "test"))


PLAIN_ONE = plain_task("plain_one")
PLAIN_TWO = plain_task("plain_two")
