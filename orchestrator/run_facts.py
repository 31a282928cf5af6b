"""The facts of a run: the last that it has stated of each kind.

They lie in the run's folder for those who ask later. What another version wrote there is taken as
far as it is understood; what is damaged is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.events import (
    KINDS,
    Evaluated,
    Event,
    Failed,
    Finished,
    Progress,
    Restarted,
    Started,
    Stopped,
    say,
    warn,
    word,
)
from orchestrator.state import State
from orchestrator.store.run_folder import RunFolder
from orchestrator.strict_json import dumps
from orchestrator.track.result import Result
from orchestrator.typed_json import made_of, plain


@dataclass(frozen=True)
class RunFacts:
    """The last that a run has stated of each kind, and the state that follows from it."""

    state: State | None = None
    started: Started | None = None
    progress: Progress | None = None
    evaluated: Evaluated | None = None
    restarted: Restarted | None = None
    finished: Finished | None = None
    failed: Failed | None = None
    stopped: Stopped | None = None

    def after(self, *events: Event) -> "RunFacts":
        """Return the facts once a run has also stated these events."""
        facts = dict(vars(self))
        for event in events:
            if event.state is not None:
                facts |= {"state": event.state, word(event): event}
            if event.state is State.RUNNING:
                facts |= {"failed": None, "stopped": None}
            if isinstance(event, Started):
                facts["restarted"] = None
        return RunFacts(**facts)

    def over(self, older: "RunFacts") -> "RunFacts":
        """Return these facts, and the older ones where these know nothing."""
        return RunFacts(
            **vars(older) | {name: fact for name, fact in vars(self).items() if fact is not None}
        )

    @property
    def last_time(self) -> float | None:
        """When the run last stated anything, in seconds since 1970."""
        said = (getattr(self, name, None) for name in KINDS)
        return max((event.time for event in said if event and event.time), default=None)


def facts_in(values: object) -> RunFacts:
    """Return the facts that plain values hold, without what cannot be understood of them."""
    facts = RunFacts()
    for name, value in values.items() if isinstance(values, Mapping) else ():
        try:
            facts = made_of(RunFacts, {name: value}).over(facts)
        except ValueError:
            continue
    return facts


class Events:
    """Say events and keep the facts that follow in the run's folder, replaced whole each time."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._troubled = False

    def say(self, event: Event) -> None:
        """Print an event and keep it; on a full disk the log alone has it, and says so once."""
        facts = facts_of(self._folder).after(say(event))
        try:
            self._folder.facts.write(dumps(plain(facts)))
        except OSError as error:
            if not self._troubled:
                warn(f"{self._folder.facts.path}: {error.strerror}")
            self._troubled = True


def facts_of(folder: RunFolder) -> RunFacts:
    """Return the facts in a run's folder; none of a file that is missing or damaged."""
    try:
        return facts_in(folder.facts.read_json())
    except (OSError, ValueError):
        return RunFacts()


def finished_in(folder: RunFolder) -> Finished:
    """Return the end that the workers have written into a run's folder.

    Raises OSError without one, and ValueError when it is damaged.
    """
    return made_of(Finished, folder.result.read_json())


def write_end(folder: RunFolder, result: Result) -> None:
    """Write the results of a run that has come to its end into its folder."""
    folder.result.write(dumps(plain(Finished.of(result, str(folder)))))
