"""The trainings of the table, one JSON line each: what a setting or a bit-width alone reached."""

from dataclasses import dataclass
from pathlib import Path

from orchestrator.store.disk import DiskLines
from orchestrator.store.lines import Lines
from orchestrator.typed_json import Values, made_of


@dataclass(frozen=True)
class Training:
    """One training with one seed.

    settings: of a cell, by dotted key; empty for an individual run, which has `alone` instead, its
    bit-width's name. epochs: the metric by operating point after each epoch, in percent; failed:
    why there are no more. cpu_seconds: what it took. date, load, commit: when and of what.
    """

    settings: Values
    alone: str
    seed: int
    epochs: tuple[dict[str, float], ...]
    failed: str
    cpu_seconds: float
    date: str
    load: float
    commit: str


def read(path: Path) -> list[Training]:
    """Return the trainings of a file, in the order in which they were made."""
    return [made_of(Training, values) for values in Lines(DiskLines(path)).read().values]


def keep(path: Path, training: Training) -> None:
    """Add a training to a file."""
    Lines(DiskLines(path)).append(training, durable=True)
