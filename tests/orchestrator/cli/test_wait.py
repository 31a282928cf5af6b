"""Waiting for the end of a job, against a fake cluster."""

import json

import pytest

from tests.orchestrator.cli.conftest import Orch, Submitted


@pytest.mark.parametrize(
    ("state", "driver", "code"), [("SUCCEEDED", 0, 0), ("FAILED", 3, 3), ("STOPPED", None, 1)]
)
def test_waiting_ends_with_the_code_of_the_job(
    orch: Orch, submitted: Submitted, state: str, driver: int | None, code: int
) -> None:
    submitted(statuses=["RUNNING", state], exit_code=driver)
    done = orch("wait", "last", "--json")
    assert done.exit_code == code
    assert json.loads(done.stdout)["state"] == state


def test_waiting_may_be_given_up(orch: Orch, submitted: Submitted) -> None:
    submitted()
    done = orch("wait", "last", "--timeout", "0")
    assert done.exit_code == 2
    assert "is still RUNNING" in done.stderr
