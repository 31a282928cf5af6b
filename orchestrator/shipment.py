"""What travels with a job to its driver, in addition to the code: its run and its settings."""

import json
from dataclasses import dataclass
from pathlib import Path

from orchestrator.strict_json import dumps
from orchestrator.track.delta_b import ReferenceResults
from orchestrator.typed_json import Values, made_of, plain

RUN_FILE = "run.json"
"""The name of the file, in the working folder of the driver."""


@dataclass(frozen=True)
class Shipment:
    """One attempt of a run.

    attempt: its number, from 1. reference: of Delta_B, if it is known. reached: how far earlier
    attempts are known to have come, in words.
    """

    run: str
    run_dir: str
    attempt: int
    job: Values
    reference: ReferenceResults | None = None
    reached: str = ""

    def text(self) -> str:
        """Return the file's content."""
        return dumps(plain(self), indent=1)

    @classmethod
    def read(cls, file: Path) -> "Shipment":
        """Return the content of a file. Raises OSError and ValueError."""
        return made_of(cls, json.loads(file.read_text(encoding="utf-8")))
