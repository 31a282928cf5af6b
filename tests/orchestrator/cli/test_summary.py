"""How a run ended, in a few lines."""

from typing import Any

import pytest

from orchestrator.cli.summary import as_dict, conclusion, was_killed
from orchestrator.events import Failed
from orchestrator.run_facts import RunFacts
from orchestrator.runs.registry import Attempt, Record
from orchestrator.runs.view import RunView
from orchestrator.state import State


def seen(state: State, **fields: Any) -> RunView:
    record = Record(
        run="tiny-1",
        name="tiny",
        job={},
        job_file="tiny.yaml",
        address="http://127.0.0.1:8265",
        local=True,
        run_dir="/runs/tiny-1",
        attempts=(Attempt("tiny-1", 0.0),),
    )
    return RunView(record, state, **fields)


@pytest.mark.parametrize("code", [-9, -15, 137])
def test_a_killed_driver_is_said_in_one_line_with_the_way_on(code: int) -> None:
    ended = seen(State.FAILED, exit_code=code, message="Job entrypoint command failed\n::orch {}")
    assert was_killed(ended)
    assert conclusion(ended) == [
        "FAILED: the job's driver was killed, from outside or because memory ran out.",
        "`orch resume tiny-1` continues from its last checkpoint, if it has one.",
    ]


def test_a_named_failure_is_printed_and_only_a_mistake_is_not_worth_a_resume() -> None:
    facts = RunFacts(failed=Failed(message="too many broken files", exit_code=1))
    assert conclusion(seen(State.FAILED, facts=facts, exit_code=1))[0] == (
        "FAILED: too many broken files"
    )
    assert len(conclusion(seen(State.FAILED, facts=facts, exit_code=1))) == 2
    assert len(conclusion(seen(State.FAILED, facts=facts, exit_code=2))) == 1


def test_json_says_why_a_run_failed_whose_driver_could_not() -> None:
    """Ray's supervisor of the job was killed, and with it orch's."""
    died = seen(State.FAILED, message="Job supervisor actor died.\nIts node ...", ended=5.0)
    assert conclusion(died)[0] == "FAILED: Job supervisor actor died."
    told = as_dict(died)["failure"]
    assert told == {"time": 5.0, "message": "Job supervisor actor died.", "exit_code": None}
    assert as_dict(seen(State.STOPPED, message="Stopped."))["failure"] is None


def test_a_lost_run_says_how_to_go_on() -> None:
    [why, way_on] = conclusion(seen(State.LOST, note="the cluster no longer knows it"))
    assert why == "LOST: the cluster no longer knows it."
    assert "orch resume tiny-1" in way_on
