"""The stacks that faulthandler writes, read for people: our own code marked, Ray's left out."""

import re
from pathlib import PurePath
from typing import NamedTuple

from orchestrator.rank_file import RankFile

_THREAD = re.compile(r"^(?:Current thread|Thread) 0x([0-9a-f]+).*\n", re.MULTILINE)
_FRAME = re.compile(r'  File "(.*)", line (\d+|\?+) in (.*)')
_ADDED = re.compile(r"^Timeout \(.*\n", re.MULTILINE)
"""What faulthandler's own thread writes before the stacks that it adds."""
_NOT_OURS = ("orchestrator/train/stacks.py", "orchestrator/warm/")
"""The thread that writes the stacks, and what each process of a job begins with."""
_INSTALLED = re.compile(r"site-packages|python\d\.\d+")
"""Folders of libraries, and of Python's own."""


class Frame(NamedTuple):
    """A call. place: file and line, from the folder of its package on; own: in the job's code."""

    place: str
    function: str
    own: bool


def threads_of(said: RankFile) -> list[list[Frame]]:
    """Return the calls of the thread that trains, then of others that are in the job's code.

    The innermost call is the first one; the last one is the outermost of our own. Of a process that
    hangs in C code, the stacks that were added at last count.
    """
    pieces = _THREAD.split(_ADDED.split(said.stacks)[-1])
    threads = {
        int(pieces[at], 16): _calls(pieces[at + 1], said.code) for at in range(1, len(pieces), 2)
    }
    trains = threads.pop(said.thread, [])
    return [calls for calls in (trains, *threads.values()) if calls]


def _calls(text: str, code: str) -> list[Frame]:
    """Return the calls of a thread up to the outermost of our own; none without one."""
    found = [_frame(match[1], match[2], match[3], code) for match in _FRAME.finditer(text)]
    own = [number for number, call in enumerate(found) if call.own]
    return found[: own[-1] + 1] if own else []


def _frame(file: str, line: str, function: str, code: str) -> Frame:
    path = PurePath(file)
    inside = path.relative_to(code) if path.is_relative_to(code) else None
    of_library = _in_library(inside or path)
    if inside and of_library is None:
        return Frame(f"{inside}:{line}", function, own=not str(inside).startswith(_NOT_OURS))
    return Frame(f"{of_library or path}:{line}", function, own=False)


def _in_library(path: PurePath) -> PurePath | None:
    """Return a library's file without where its libraries are installed; None for another file."""
    installed = [at for at, part in enumerate(path.parts) if _INSTALLED.fullmatch(part)]
    return PurePath(*path.parts[installed[-1] + 1 :]) if installed else None
