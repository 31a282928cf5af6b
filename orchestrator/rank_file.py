"""A file that each rank of a run keeps among Ray's logs: where it runs, and what it is doing.

The first line is a JSON object, the others are the stacks of the process's threads as Python's
faulthandler writes them. There is one file for each process, replaced as a whole every few seconds;
only a process that no longer comes to do so has stacks added at the end of it, by a thread that
needs no Python. Ray's dashboard serves the file, so this works wherever the worker runs.
"""

import json
from dataclasses import dataclass, replace

from orchestrator.strict_json import dumps
from orchestrator.typed_json import made_of, plain


@dataclass(frozen=True)
class RankFile:
    """What a rank says of itself.

    trial: within its search, such as t007; empty for other runs. thread: the id of the one that
    trains. code: the folder of our own code.
    output: the names of the files, beside this one, that have what the process prints.
    began, seen: when the process took up this run, and when the file was written, in seconds since
    1970. next_within: in how many seconds the file is written again. ended: the rank has left the
    run. stacks: of all threads, the most recent call first.
    """

    run: str
    rank: int
    world: int
    pid: int
    thread: int
    code: str
    output: tuple[str, ...]
    began: float
    seen: float
    next_within: float
    trial: str = ""
    ended: bool = False
    stacks: str = ""

    @property
    def head(self) -> str:
        """The first line of the file."""
        return dumps(plain(replace(self, stacks=""))) + "\n"


def file_name(run: str, pid: int) -> str:
    """Return the name of the file of a process that trains a run."""
    return f"orch-rank-{run}-{pid}.txt"


def pattern(run: str) -> str:
    """Return what the names of all files of a run match."""
    return f"orch-rank-{run}-*.txt"


def parse(text: str) -> RankFile | None:
    """Return what a file says, or None for a file that is damaged or of another version."""
    head, _, stacks = text.partition("\n")
    try:
        return replace(made_of(RankFile, json.loads(head)), stacks=stacks)
    except ValueError:
        return None
