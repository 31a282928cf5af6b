"""The states of a job and which of them are final."""

from enum import StrEnum


class State(StrEnum):
    """What a job is doing. All but LOST are Ray's own names."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    LOST = "LOST"
    """The cluster is gone, or no longer knows the job, and there is no sign that the job ended."""


FINAL = frozenset({State.STOPPED, State.SUCCEEDED, State.FAILED, State.LOST})


def is_final(state: State) -> bool:
    """Return whether a job in this state will never change by itself."""
    return state in FINAL


def exit_code(state: State, driver_exit_code: int | None) -> int:
    """Return the exit code of a command that waited for a job: 0, or the driver's own 1, 2 or 3."""
    if state is State.SUCCEEDED:
        return 0
    return driver_exit_code if driver_exit_code in (1, 2, 3) else 1
