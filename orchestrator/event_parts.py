"""What events tell of: a trial of a search, a worker."""

from dataclasses import dataclass

from orchestrator.typed_json import Values


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """A trial in a few words. settings: by dotted key. epoch: the last evaluated one, from 1; 0
    before the first. value: of the search's metric then, in percent.
    """

    trial: str
    state: str
    settings: Values
    epoch: int
    value: float | None
    spread: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class WorkerPlace:
    """Where a worker of a run is. node: its address. gpus: their numbers or ids on the node."""

    rank: int
    node: str
    pid: int
    gpus: tuple[str, ...] = ()
