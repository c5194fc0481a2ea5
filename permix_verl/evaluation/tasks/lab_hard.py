"""The lab's hard level: other families with longer ways to the answer, which RL never sees."""

from permix_verl.evaluation.tasks.lab_easy import lab_task

TASK = lab_task("hard")
