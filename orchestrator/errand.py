"""Work on a data set that a cluster does: what travels there, and what comes back.

The client and the driver share these classes. The driver prints each message as a line of its log,
MARK and JSON.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.strict_json import dumps
from orchestrator.typed_json import Values, made_of, plain

FILE = "errand.json"
"""The name of the file, in the working folder of the driver."""
MARK = "::errand "


@dataclass(frozen=True)
class Errand:
    """A command of `orch data` for a job. options: those of the command, by name."""

    command: str
    job: Values
    options: Values

    def text(self) -> str:
        """Return the file's content."""
        return dumps(plain(self), indent=1)

    @classmethod
    def read(cls, file: Path) -> "Errand":
        """Return the content of a file. Raises OSError and ValueError."""
        return made_of(cls, json.loads(file.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Message:
    """What a driver says. done: of how many files (of) it has dealt with.

    error, exit_code: why it ends without a report. report: what the command found, at the end.
    """

    done: int = 0
    of: int = 0
    error: str = ""
    exit_code: int = 0
    report: Any = None

    def line(self) -> str:
        """Return the line of the log."""
        return MARK + dumps(plain(self))

    @classmethod
    def parse(cls, line: str) -> "Message | None":
        """Return the message of a line; None for a line that is none."""
        if not line.startswith(MARK):
            return None
        try:
            return made_of(cls, json.loads(line.removeprefix(MARK)))
        except ValueError:
            return None
