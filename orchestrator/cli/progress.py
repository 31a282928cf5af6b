"""A bar on a terminal that says how far a command is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchestrator.cli.output import console, moves


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on standard error, if that is a terminal; it goes when the work is done.

    Gives a function to be called with how much is done, and of how much.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    screen = console(err=True)
    parts = (
        TextColumn("{task.description}"), BarColumn(40), MofNCompleteColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*parts, console=screen, transient=True, disable=not moves(screen)) as progress:
        task = progress.add_task(what, total=None)

        def tell(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield tell
