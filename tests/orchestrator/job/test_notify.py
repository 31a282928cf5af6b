"""Who hears of a run: what the job says of it, and what it must not say."""

from collections.abc import Callable

import pytest

from orchestrator.errors import JobFileError
from orchestrator.job.schema import Job


def test_all_occasions_are_told_unless_some_are_named(tiny_job: Callable[..., Job]) -> None:
    assert tiny_job().notify is None
    given = tiny_job("notify.webhook=ORCH_WEBHOOK").notify
    assert given is not None
    assert given.on == ("finished", "failed", "stopped", "restarted", "stalled")
    some = tiny_job("notify.webhook=ORCH_WEBHOOK_TEAM", "notify.on=[failed]").notify
    assert some is not None
    assert some.on == ("failed",)


def test_an_address_in_a_job_is_refused_and_not_repeated(tiny_job: Callable[..., Job]) -> None:
    with pytest.raises(JobFileError) as refused:
        tiny_job("notify.webhook=https://hooks.example/T0/secret")
    [line] = refused.value.mistakes
    assert "notify.webhook: expected the name of an environment variable" in line
    assert "secret" not in line


def test_an_unknown_occasion_is_one_mistake(tiny_job: Callable[..., Job]) -> None:
    with pytest.raises(JobFileError, match=r"notify\.on\.0: expected 'finished', 'failed'"):
        tiny_job("notify.webhook=ORCH_WEBHOOK", "notify.on=[ended]")
