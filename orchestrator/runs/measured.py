"""How long an epoch takes, measured by a former run of the same job on the same cluster."""

import statistics
from collections.abc import Collection, Iterator
from itertools import pairwise
from typing import NamedTuple

from orchestrator.runs import registry
from orchestrator.runs.registry import Record
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.lines import Lines
from orchestrator.store.run_folder import RunFolder
from orchestrator.track.keys import EPOCH
from orchestrator.typed_json import Values

SECTIONS = ("model", "quantizer", "method", "data", "training", "evaluate", "cluster")
"""What decides how long an epoch takes; two jobs that agree in it are the same job here."""
OF_NO_WEIGHT = frozenset({"training.epochs", "cluster.max_failures"})


class Measured(NamedTuple):
    """The median time of an epoch with its evaluation, and the run that took it."""

    run: str
    epoch_seconds: float


def measured(job: Values, searched: Collection[str], url: str | None) -> Measured | None:
    """Return what the latest run of a job took, whatever values its searched keys had.

    job: its values. url: of the cluster; None for the local head. None without such a run, or where
    its folder is not seen here.
    """
    wanted = _weight(job, searched)
    for record in registry.load_all():
        there = record.local if url is None else record.address == url
        if not there or _weight(record.job, searched) != wanted:
            continue
        if times := [time for folder in _folders(record) for time in _epoch_seconds(folder)]:
            return Measured(record.run, statistics.median(times))
    return None


def _weight(job: Values, searched: Collection[str]) -> Values:
    """Return the settings by dotted key that decide how long an epoch takes."""
    found = _flat({section: job.get(section) for section in SECTIONS})
    return {key: found[key] for key in found.keys() - OF_NO_WEIGHT - set(searched)}


def _flat(values: Values, above: str = "") -> Values:
    found: Values = {}
    for key, value in values.items():
        found |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return found


def _folders(record: Record) -> list[RunFolder]:
    """Return the folders of the trainings of a run: its own, or those of its trials."""
    if not record.is_search:
        return [record.folder]
    try:
        return record.search_folder.runs()
    except StorageTrouble:
        return []


def _epoch_seconds(folder: RunFolder) -> Iterator[float]:
    """Yield the times between the ends of epochs that follow each other."""
    try:
        ends = [line for line in Lines(folder.metrics).read().values if _is_end(line)]
    except OSError:
        return
    for one, other in pairwise(ends):
        if other["metrics"][EPOCH] == one["metrics"][EPOCH] + 1:
            yield (other["time_ms"] - one["time_ms"]) / 1000


def _is_end(line: object) -> bool:
    """Return whether a line of metrics was written at the end of an epoch."""
    if not isinstance(line, dict) or not isinstance(line.get("time_ms"), int):
        return False
    metrics = line.get("metrics")
    return isinstance(metrics, dict) and isinstance(metrics.get(EPOCH), int | float)
