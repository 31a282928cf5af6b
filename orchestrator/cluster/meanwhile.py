"""A question that is asked in a thread of its own, while something else is done."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def meanwhile(ask: Callable[[], T]) -> "Future[T]":
    """Return where the answer will be; its `result` raises what `ask` raises.

    A question that nobody waits for any longer stays in its thread until this process ends.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return answer
