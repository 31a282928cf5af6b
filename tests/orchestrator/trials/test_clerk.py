"""The thread that asks the tracking server."""

import errno
import threading
from collections.abc import Callable

import pytest

from orchestrator.errors import Refused, Unreachable
from orchestrator.trials import clerk as module
from orchestrator.trials.clerk import Clerk


def silent(times: int, then: str) -> Callable[[], str]:
    """Return an errand to a server that does not answer at first."""
    left = [times]

    def ask() -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise Unreachable("The tracking server does not answer.")
        return then

    return ask


def test_urgent_errands_come_before_those_that_wait_and_these_in_their_order() -> None:
    done: list[str] = []
    clerk, free = Clerk(), threading.Event()
    clerk.later(lambda: free.wait(10))
    for name in ("first", "second"):
        clerk.later(lambda name=name: done.append(name))  # type: ignore[misc]
    clerk.soon(lambda: done.append("urgent"))
    free.set()
    clerk.finish()
    assert done == ["urgent", "first", "second"]


def test_a_server_that_is_silent_is_asked_again_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    clerk = Clerk()
    assert clerk.soon(silent(3, "here")).result(10) == "here"
    assert clerk.soon(silent(1, "again")).result(10) == "again"
    clerk.finish()
    assert capsys.readouterr().out.count("new ones wait until it answers") == 2


def test_a_log_that_cannot_be_written_does_not_end_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(module, "warn", full)
    clerk = Clerk()
    assert clerk.soon(silent(3, "here")).result(10) == "here"
    clerk.finish()


def test_at_the_end_a_silent_server_is_not_waited_for_and_what_was_left_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clerk, asked = Clerk(), []

    def ask() -> None:
        asked.append(clerk)
        raise Unreachable("The tracking server does not answer.")

    clerk._ending.set()
    for _ in range(3):
        clerk.later(ask)
    clerk.finish()
    assert len(asked) == 1
    assert capsys.readouterr().out.count("does not answer. `orch sync` of the search") == 1


def test_a_refusal_is_the_result_of_an_urgent_errand_and_else_a_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse() -> None:
        raise Refused("The experiment was deleted.")

    clerk = Clerk()
    assert str(clerk.soon(refuse).exception(10)) == "The experiment was deleted."
    clerk.later(refuse)
    clerk.finish()
    assert "The experiment was deleted." in capsys.readouterr().out
