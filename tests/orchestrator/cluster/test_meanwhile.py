import threading

import pytest

from orchestrator.cluster.meanwhile import meanwhile


def test_an_answer_comes_while_something_else_is_done() -> None:
    asked = threading.Event()

    def ask() -> int:
        asked.wait(10)
        return 7

    answer = meanwhile(ask)
    with pytest.raises(TimeoutError):
        answer.result(0.01)
    asked.set()
    assert answer.result(10) == 7


def test_an_error_comes_when_the_answer_is_wanted() -> None:
    def ask() -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        meanwhile(ask).result(10)
