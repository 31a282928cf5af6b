"""What a run reports about itself, one event at a time.

The client and the worker share these classes. Any process of a job prints an event as `::orch ` and
JSON; the driver turns it into a sentence of the log and keeps the JSON in a file beside it. Of what
another version wrote, the parts that are understood count; a damaged line is no event.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import ClassVar

from orchestrator.event_parts import TrialRow, WorkerPlace
from orchestrator.state import State
from orchestrator.strict_json import dumps
from orchestrator.track.result import PointResult
from orchestrator.track.run import RecordPlaces
from orchestrator.typed_json import made_of, plain

MARK = "::orch "

PointValues = dict[str, float | None]
"""A number for each operating point, high to low; None for one that is not finite."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that a run reports.

    time: in seconds since 1970; None until it is printed. n: its number among the events of its
    job, from 1; None outside the file that holds them all. trial: the run of a search that says so,
    such as t007 or t007s1; None for the run of the job itself.
    """

    state: ClassVar[State | None] = None
    """The state of a run after this event; None when it does not change the state."""

    time: float | None = None
    n: int | None = None
    trial: str | None = None


@dataclass(frozen=True, kw_only=True)
class Awaiting(Event):
    """A driver waits for runs that still go on, since its own starts or learns from them."""

    message: str


@dataclass(frozen=True, kw_only=True)
class Started(Event):
    """A driver has begun.

    attempt: of the run, from 1, the same for a driver that follows a killed one; None for a trial.
    mlflow: where the record is, if one was opened before.
    """

    state = State.RUNNING
    run: str
    run_dir: str
    mlflow: RecordPlaces | None = None
    attempt: int | None = None


@dataclass(frozen=True, kw_only=True)
class Recorded(Event):
    """The record of the run is open, or a new one has taken its place."""

    mlflow: RecordPlaces


@dataclass(frozen=True, kw_only=True)
class Gathered(Event):
    """The workers of a run have started: these, by rank."""

    state = State.RUNNING
    workers: tuple[WorkerPlace, ...]


@dataclass(frozen=True, kw_only=True)
class Arithmetic(Event):
    """How the workers compute, and why so.

    kind: "integer" where quantized layers convolve codes, "float" where they convolve values.
    kernel: what convolves the codes, empty in floats. sums: the type in which it adds up: kernels
    with sums of one type give the same bits. backward: the type of backward passes.
    layers: how many convolutions are quantized. in_floats: the names of those that no operating
    point lets compute in integers, such as depth-wise ones.
    """

    state = State.RUNNING
    kind: str
    kernel: str = ""
    sums: str = ""
    backward: str
    reason: str
    layers: int = 0
    in_floats: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """The progress of a run. phase, epoch of the phase: from 0; step: how many are done in it.

    loss: the mean over this epoch so far, on rank 0. metric: of the last evaluation.
    share_done: of all steps of the run, 0 to 1. step_seconds: the mean of a step. data_share: of
    this epoch's time, 0 to 1, that rank 0 has waited for batches.
    next_within: in how many seconds the next one will come if all goes well.
    """

    state = State.RUNNING
    phase: int = 0
    phases: int = 1
    epoch: int
    epochs: int
    step: int
    steps: int
    step_seconds: float | None = None
    samples_per_second: float
    data_share: float | None = None
    eta_seconds: float | None
    share_done: float | None = None
    loss: PointValues = field(default_factory=dict)
    metric_name: str | None = None
    metric: PointValues = field(default_factory=dict)
    next_within: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Evaluated(Event):
    """The results of an epoch of a phase (both from 0). metric: in percent.

    loss: the mean training loss.
    """

    state = State.RUNNING
    phase: int = 0
    phases: int = 1
    epoch: int
    epochs: int
    metric_name: str
    metric: PointValues
    loss: PointValues


@dataclass(frozen=True, kw_only=True)
class Restarted(Event):
    """Workers were lost and are restarted. count: how often, in this attempt."""

    state = State.RUNNING
    count: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Log(Event):
    """A line for the log. level: "info" or "warning"."""

    message: str
    level: str = "info"


@dataclass(frozen=True, kw_only=True)
class Finished(Event):
    """The run has finished, with these results. table: the same in Markdown.

    epoch (from 0), step: of the weights that were judged.
    """

    state = State.SUCCEEDED
    run_dir: str
    metric_name: str
    epoch: int
    step: int
    rows: tuple[PointResult, ...]
    delta_b: float | None
    delta_b_note: str
    table: str


@dataclass(frozen=True, kw_only=True)
class Failed(Event):
    """The attempt has failed, and why."""

    state = State.FAILED
    message: str
    exit_code: int


@dataclass(frozen=True, kw_only=True)
class Stopped(Event):
    """The attempt was stopped on request."""

    state = State.STOPPED
    message: str


@dataclass(frozen=True, kw_only=True)
class Searching(Event):
    """How far a search is.

    trials: how many are planned. ended: how many have ended, by their state. living: those that
    train or wait for a group of workers. epochs: of a whole run. epochs_done, epochs_planned: of
    all runs together.
    next_within: in how many seconds the next one will come if all goes well.
    """

    state = State.RUNNING
    metric: str
    trials: int
    ended: dict[str, int]
    living: tuple[TrialRow, ...]
    failed: tuple[TrialRow, ...]
    best: TrialRow | None
    epochs: int
    epochs_done: int
    epochs_planned: int
    worker_hours: float
    eta_seconds: float | None
    next_within: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TrialEnded(Event):
    """A trial of a search has ended. epochs: of a whole run."""

    metric: str
    epochs: int
    row: TrialRow


@dataclass(frozen=True, kw_only=True)
class Searched(Event):
    """A search is over. table: its trials in Markdown. best_job: the file with the best one's job.

    ended: how many trials have ended, by their state.
    """

    state = State.SUCCEEDED
    run_dir: str
    metric: str
    trials: int
    ended: dict[str, int]
    best: TrialRow
    best_job: str
    table: str


KINDS: dict[str, type[Event]] = {
    kind.__name__.lower(): kind
    for kind in (
        *(Awaiting, Started, Recorded, Gathered, Arithmetic, Progress, Evaluated, Restarted, Log),
        *(Finished, Failed, Stopped),
        *(Searching, TrialEnded, Searched),
    )
}
"""Each kind of event by its word, which is used in JSON and names a part of `RunFacts`."""

_trial: ContextVar[str | None] = ContextVar("trial", default=None)

_COLORS = re.compile(r"\x1b\[[0-9;]*m")
_LINE = re.compile(rf"^(?:\([^()]*\bpid=\d+[^()]*\)\s*)?{MARK}(\{{.*\}})\s*$")


def word(event: Event) -> str:
    """Return the word for an event's kind: "progress"."""
    return type(event).__name__.lower()


def to_json(event: Event) -> str:
    """Return an event as one JSON object."""
    return dumps({"event": word(event), **plain(event)})


def to_line(event: Event) -> str:
    """Return an event as a process of the job prints it."""
    return MARK + to_json(event)


def parse(line: str) -> Event | None:
    """Return the event of a log line, or None for any other line, even one with the mark.

    Ray sets "(RayTrainWorker pid=71) ", in color, before what a worker prints.
    """
    match = _LINE.match(_COLORS.sub("", line))
    return read(match[1]) if match else None


def read(text: str) -> Event | None:
    """Return the event that a JSON text holds, or None."""
    try:
        values = json.loads(text)
        return made_of(KINDS[values["event"]], values)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


DRIVER_LOG = "job-driver-"
"""What Ray puts before the name of a job, and `.log` behind it, for the file of its log."""


def events_file(submission_id: str) -> str:
    """Return the name of the file that holds the events of a job, among the logs of Ray."""
    return f"orch-events-{submission_id}.jsonl"


@contextmanager
def of_trial(run: str | None) -> Iterator[None]:
    """Stamp all events that are said within, in this thread, as those of a run of a search.

    run: such as t007; None for the run of the job itself.
    """
    before = _trial.set(run)
    try:
        yield
    finally:
        _trial.reset(before)


def trial() -> str | None:
    """Return the run of a search as whose events those of this thread are stamped."""
    return _trial.get()


def say(event: Event) -> Event:
    """Print an event as one line, and return it with its time and its trial.

    The line is written as a whole: the driver of a search says things from several threads.
    """
    stamped = replace(event, time=round(time.time(), 3), trial=_trial.get())
    print(to_line(stamped) + "\n", end="", flush=True)  # noqa: T201 - the job's log
    return stamped


def inform(message: str) -> None:
    """Log a message."""
    say(Log(message=message))


def warn(message: str) -> None:
    """Log a warning."""
    say(Log(message=message, level="warning"))
