"""CoQuant that notes which samples each step trains on: a method of the user's own.

Each process writes lines of JSON to a file in the folder `notes`: when, the epoch, the step in it,
the rank among how many, and a digest of each sample as it came from the loader.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal

from models.methods.coquant import CoQuant, CoQuantSettings
from orchestrator.data.loader import LoadedBatch
from orchestrator.train import epoch as loop_module
from orchestrator.train.epoch import Loop


class SeenSettings(CoQuantSettings, frozen=True):
    """Those of CoQuant. notes: a folder that every process can write to."""

    name: Literal["seen:Seen"] = "seen:Seen"
    notes: str


class Seen(CoQuant):
    """CoQuant, watched."""

    Settings: ClassVar[type[SeenSettings]] = SeenSettings

    def __init__(self, settings: SeenSettings, *given: Any, **more: Any) -> None:
        super().__init__(settings, *given, **more)
        self.notes = Path(settings.notes) / f"{time.time_ns()}-{os.getpid()}.jsonl"


_train_step = loop_module.train_step


def train_step(
    loop: Loop, loaded: Iterable[LoadedBatch], *given: Any, epoch: int, index: int, **more: Any
) -> bool:
    """Note the samples of a step, and take it."""
    batches = list(loaded)
    digests = [_digest(sample) for batch in batches for sample in batch.inputs]
    line = {"time": time.time(), "epoch": epoch, "step": index, "samples": digests}
    line |= {"rank": loop.ranks.rank, "world": loop.ranks.world}
    assert isinstance(loop.method, Seen)
    with loop.method.notes.open("a") as notes:
        notes.write(json.dumps(line) + "\n")
    return _train_step(loop, batches, *given, epoch=epoch, index=index, **more)


def _digest(sample: Any) -> str:
    return hashlib.sha256(sample.numpy().tobytes()).hexdigest()[:16]


loop_module.train_step = train_step
