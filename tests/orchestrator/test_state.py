"""States as Ray names them, and the exit codes of commands."""

import pytest

from orchestrator.state import State, exit_code, is_final


def test_a_job_that_waits_or_runs_may_still_change() -> None:
    assert [state for state in State if not is_final(state)] == [State.PENDING, State.RUNNING]


@pytest.mark.parametrize(
    ("state", "driver", "expected"),
    [
        (State.SUCCEEDED, 0, 0),
        (State.FAILED, 1, 1),
        (State.FAILED, 2, 2),
        (State.FAILED, 3, 3),
        (State.FAILED, 137, 1),
        (State.FAILED, None, 1),
        (State.STOPPED, 0, 1),
        (State.LOST, None, 1),
    ],
)
def test_a_command_that_waited_ends_as_the_driver_did(
    state: State, driver: int | None, expected: int
) -> None:
    assert exit_code(state, driver) == expected
