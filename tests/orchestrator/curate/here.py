"""Work in the process of a test: the start of another one takes seconds."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Here:
    """Does in this process what processes beside it do."""

    def __call__(
        self, work: Callable[[T], R], things: Sequence[T], worth: int = 1
    ) -> Iterator[tuple[int, R]]:
        """Yield the number of each thing and what the work on it returns."""
        yield from ((number, work(thing)) for number, thing in enumerate(things))
