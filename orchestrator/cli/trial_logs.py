"""The log of one trial: its events among those of its search, as sentences."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from orchestrator.cli.output import answer
from orchestrator.cluster.client import ClusterClient, JobInfo
from orchestrator.cluster.tail import JobEvents
from orchestrator.events import Event, Progress, TrialEnded, to_json
from orchestrator.search.records import trial_of
from orchestrator.wording import clock, describe

PROGRESS_SECONDS = 30.0
"""Progress is printed at most this often; evaluations always are."""


@dataclass
class TrialEvents:
    """Reads the events of a trial, `within` its search t007, or of one of its runs, t007s1."""

    client: ClusterClient
    submission_id: str
    within: str

    def __post_init__(self) -> None:
        self._all = JobEvents(self.client, self.submission_id)

    def read(self, info: JobInfo | None) -> list[Event]:
        """Return the events that are new since the last call."""
        return list(events_of(self._all.read(info), self.within))


def events_of(events: Iterable[Event], within: str) -> Iterator[Event]:
    """Yield those events that are of a trial, or of one of its runs."""
    for event in events:
        ended = isinstance(event, TrialEnded) and event.row.trial == trial_of(within)
        if ended or (event.trial and within in (event.trial, trial_of(event.trial))):
            yield event


def printer(within: str, *, raw: bool) -> Callable[[Event], None]:
    """Return what prints the events of a trial: as they are in JSON, or as lines of a log."""
    if raw:
        return lambda event: answer(to_json(event))
    last: dict[str | None, float] = {}

    def show(event: Event) -> None:
        time = event.time or 0.0
        if isinstance(event, Progress):
            if time - last.get(event.trial, float("-inf")) < PROGRESS_SECONDS:
                return
            last[event.trial] = time
        for line in describe(replace(event, trial=None) if event.trial == within else event):
            answer(f"{clock(time)}  {line}")

    return show
