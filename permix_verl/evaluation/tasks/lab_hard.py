"""The lab's hard level: three changes and chains of comparisons, which RL never sees."""

from permix_verl.evaluation.tasks.lab_easy import lab_task

TASK = lab_task("hard")
