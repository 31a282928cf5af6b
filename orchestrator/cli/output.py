"""What is printed: answers on standard output, everything else on standard error."""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.errors import UsageError
from orchestrator.strict_json import dumps

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

STATE_STYLES = {
    "RUNNING": "cyan",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "LOST": "red",
    "STOPPED": "yellow",
    "PENDING": "yellow",
}


UNLIMITED = 10_000
"""Width where the output is no terminal: nothing is cut."""
CUT = "..."
GAP = 2
"""Spaces between the columns of a table."""


def say(text: str) -> None:
    """Print a hint, a warning or progress on standard error."""
    click.echo(text, err=True)


def answer(text: str) -> None:
    """Print an answer on standard output."""
    click.echo(text)


def answer_json(value: Any) -> None:
    """Print one JSON document on standard output."""
    click.echo(dumps(value, indent=2))


def console(*, err: bool = False) -> "Console":
    """Return rich's console; with colors only on terminals, and not with NO_COLOR."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() else UNLIMITED
    return Console(stderr=err, highlight=False, soft_wrap=not stream.isatty(), width=width)


def moves(console: "Console") -> bool:
    """Return whether printed lines can be overwritten."""
    return console.is_terminal and not console.is_dumb_terminal


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[str] = ()
) -> "Table":
    """Return a plain table; the columns named in `right` are numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", no_wrap=True)
    for row in rows:
        made.add_row(*(Text(_visible(cell), style=STATE_STYLES.get(cell, "")) for cell in row))
    return made


def _visible(text: str) -> str:
    """Return a text whose control characters are spelled out: a terminal would obey them."""
    if text.isprintable():
        return text
    return "".join(one if one >= " " and one != "\x7f" else repr(one)[1:-1] for one in text)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[str] = ()
) -> None:
    """Print a plain table on standard output."""
    console().print(table(columns, rows, right))


def without_middle(text: str, width: int) -> str:
    """Return a text of at most `width` characters; names differ at the beginning and the end."""
    if len(text) <= width:
        return text
    kept = width - len(CUT)
    return text[: kept - kept // 2] + CUT + text[len(text) - kept // 2 :]


def without_end(text: str, width: int) -> str:
    """Return a list of at most `width` characters, if possible, without its last items."""
    items = text.split(", ")
    while len(text) > width and len(items) > 1:
        items.pop()
        text = f"{', '.join(items)} {CUT}"
    return text


def make_folder(folder: Path) -> None:
    """Make the folder of what a command writes. Raises UsageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made ({error.strerror}): name another one.") from None
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder} cannot be written: name another one.")


def is_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout.isatty()
