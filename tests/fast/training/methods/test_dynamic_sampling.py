"""Dynamic sampling: which groups teach nothing, which problems are retired, and what a checkpoint keeps."""

import json

import pytest

from permix_verl.errors import UserError
from permix_verl.training.methods.dynamic_sampling import RefillGroups, RetireProblems

from ....support.extension_runs import POOL, prompts, rollouts_of, run_with


def test_a_group_is_judged_by_its_verdicts_and_not_by_a_shaped_score() -> None:
    refill = RefillGroups(run_with())
    assert refill.teaches_nothing(1, rollouts_of("chef", [1, 1, 1, 1], rewards=[1.1, 1.2, 1.3, 1.0]))
    assert refill.teaches_nothing(1, rollouts_of("chef", [0, 0, 0, 0], rewards=[0.1, 0.2, 0.0, 0.3]))
    assert not refill.teaches_nothing(1, rollouts_of("chef", [0, 1, 0, 0], rewards=[0.5] * 4))


def test_replaced_rollouts_are_counted_by_persona() -> None:
    refill = RefillGroups(run_with())
    refill.on_dropped(1, [*rollouts_of("chef", [1, 1], "row/1"), *rollouts_of("poet", [0, 0, 0], "row/2")])
    assert refill.on_rollouts(1, []) == {"sampling/replaced/chef": 2.0, "sampling/replaced/poet": 3.0}
    refill.on_dropped(2, [])
    assert refill.on_rollouts(2, []) == {}


ROWS = [f"row/{number}" for number in range(6)]


def solved(extension: RetireProblems, step: int, rows: list[str]) -> float:
    rollouts = [
        rollout
        for number, row in enumerate(ROWS)
        for rollout in rollouts_of(POOL.keys[number], [1, 1, float(row in rows)], row)
    ]
    return extension.on_rollouts(step, rollouts)["sampling/retired_problems"]


def test_a_problem_is_retired_after_groups_in_a_row_that_were_solved() -> None:
    retire = RetireProblems(run_with(ROWS, dynamic_sampling_solved=2))
    assert solved(retire, 1, ["row/0", "row/1"]) == 0
    assert solved(retire, 2, ["row/1", "row/2"]) == 1
    given = prompts(3)
    now = retire.on_submit(3, given)
    assert [one.row_id for one in now][::2] == ["row/0", "row/2"]
    assert now[1].row_id in {"row/3", "row/4", "row/5"}
    assert (now[1].group, now[1].persona, now[1].redrawn) == (given[1].group, given[1].persona, 3)
    assert retire.on_submit(3, given) == now
    assert solved(retire, 3, []) == 0, "a failure brings a problem back"


def test_retired_problems_are_sampled_where_no_other_is_left() -> None:
    retire = RetireProblems(run_with(ROWS, dynamic_sampling_solved=1))
    assert solved(retire, 1, ROWS) == 6
    given = prompts(6)
    assert list(retire.on_submit(2, given)) == given


def test_the_state_goes_on() -> None:
    retire = RetireProblems(run_with(ROWS))
    solved(retire, 1, ["row/1"])
    solved(retire, 2, ["row/1", "row/4"])
    resumed = RetireProblems(run_with(ROWS))
    resumed.load_state(json.loads(json.dumps(retire.state())))
    assert retire.state() == {"solved": {"row/1": 2, "row/4": 1}}
    assert resumed.on_submit(3, prompts(3)) == retire.on_submit(3, prompts(3)) != prompts(3)


def test_a_threshold_below_one_is_refused() -> None:
    with pytest.raises(UserError, match="dynamic_sampling_solved=0; give 1 or more"):
        RetireProblems(run_with(dynamic_sampling_solved=0))
