"""The facts of a run: its last event of each kind, and all restarts.

They are kept in the run's folder for later questions, in a file for each of those that write at the
same time: the workers, the driver, whoever counts losses, and the sender of the record. So none can
overwrite what another one has only just written, and nobody waits for a lock. Of what another
version wrote, the parts that are understood count; damaged parts are left out.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestrator.errors import CheckpointMismatch
from orchestrator.events import (
    KINDS,
    Arithmetic,
    Awaiting,
    Evaluated,
    Event,
    Failed,
    Finished,
    Gathered,
    Progress,
    Recorded,
    Restarted,
    Searched,
    Searching,
    Started,
    Stopped,
    say,
    warn,
    word,
)
from orchestrator.state import State
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.run_folder import RunFolder, WholeFile
from orchestrator.strict_json import dumps
from orchestrator.track.result import Result
from orchestrator.track.run import RecordPlaces
from orchestrator.typed_json import made_of, plain

MOST_RESTARTS = 100
"""How many restarts are remembered, the last ones."""

_WORKERS = (Arithmetic, Progress, Evaluated)
_OF_DRIVER = (
    *("state", "awaiting", "started", "finished", "failed", "stopped"),
    *("searching", "searched"),
)


@dataclass(frozen=True)
class RunFacts:
    """The last event of each kind, the state that follows from them, and the restarts in order."""

    state: State | None = None
    awaiting: Awaiting | None = None
    started: Started | None = None
    recorded: Recorded | None = None
    gathered: Gathered | None = None
    arithmetic: Arithmetic | None = None
    progress: Progress | None = None
    evaluated: Evaluated | None = None
    restarts: tuple[Restarted, ...] = ()
    finished: Finished | None = None
    failed: Failed | None = None
    stopped: Stopped | None = None
    searching: Searching | None = None
    searched: Searched | None = None

    def after(self, *events: Event) -> "RunFacts":
        """Return the facts after these events; those of a search's trials are not its own."""
        facts = dict(vars(self))
        for event in (event for event in events if event.trial is None):
            if isinstance(event, Started) and not _goes_on(facts["started"], event):
                facts["restarts"] = ()
            if isinstance(event, Started | Restarted):
                facts["gathered"] = None
            if isinstance(event, Started):
                facts |= {"awaiting": None, "finished": None, "searched": None}
            if isinstance(event, Restarted):
                facts["restarts"] = (*facts["restarts"], event)[-MOST_RESTARTS:]
            if word(event) in facts:
                facts[word(event)] = event
            if event.state is not None:
                facts["state"] = event.state
            if event.state is State.RUNNING:
                facts |= {"failed": None, "stopped": None}
        return RunFacts(**facts)

    def over(self, older: "RunFacts") -> "RunFacts":
        """Return these facts, completed by older ones."""
        return RunFacts(**vars(older) | {name: fact for name, fact in vars(self).items() if fact})

    @property
    def restarted(self) -> Restarted | None:
        """The last restart."""
        return self.restarts[-1] if self.restarts else None

    @property
    def record(self) -> RecordPlaces | None:
        """Where the record of the run is; None as long as none was opened."""
        said = self.recorded or self.started
        return said.mlflow if said else None

    @property
    def reached(self) -> str:
        """How far the run has come, in words; "" before the end of its first epoch or trial."""
        if self.searching and self.searching.ended:
            return "the end of a trial"
        epoch = self.progress.epoch if self.progress else 0
        return f"epoch {epoch + 1}" if epoch or self.evaluated else ""

    @property
    def last_time(self) -> float | None:
        """The time of the run's last event, in seconds since 1970."""
        latest = (getattr(self, name, None) for name in KINDS)
        return max((event.time for event in latest if event and event.time), default=None)


def _goes_on(before: Started | None, now: Started) -> bool:
    """Return whether a driver goes on with the attempt of another one, which was killed."""
    return before is not None and before.attempt is not None and before.attempt == now.attempt


def facts_file(submission_id: str) -> str:
    """Return the name of the file that holds the facts of a job, among the logs of Ray."""
    return f"orch-facts-{submission_id}.json"


def facts_in(values: object) -> RunFacts:
    """Return the facts in plain values, without what cannot be understood."""
    facts = RunFacts()
    for name, value in values.items() if isinstance(values, Mapping) else ():
        try:
            facts = made_of(RunFacts, {name: value}).over(facts)
        except ValueError:
            continue
    return facts


class Events:
    """Reports events and keeps the facts in the run's folder, in files that are replaced whole."""

    _writing = threading.Lock()
    """The threads of a process write one after the other."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._troubled = False

    def say(self, event: Event) -> None:
        """Print an event and keep it; on a full disk only the log has it, after one warning.

        What a trial says is in its folder as a run's own.
        """
        self.keep(say(event))

    def keep(self, event: Event) -> None:
        """Keep an event without printing it."""
        try:
            with self._writing:
                file = _file_of(self._folder, event)
                before = _kept_in(file)
                if isinstance(event, Started) and not _goes_on(before.started, event):
                    _write(self._folder.restarts, RunFacts(state=State.RUNNING))
                _write(file, before.after(replace(event, trial=None)))
        except OSError as error:
            if not self._troubled:
                warn(f"{self._folder.facts}: {error.strerror}")
            self._troubled = True


def tell(folder: RunFolder, event: Event) -> None:
    """Print an event, and keep it if the folder of the run has been made."""
    if folder.is_there():
        Events(folder).say(event)
    else:
        say(event)


def check_is_there(folder: RunFolder, reached: str) -> None:
    """Raise CheckpointMismatch if the folder of a run that had come somewhere has nothing of it."""
    if reached and not folder.job.exists():
        raise CheckpointMismatch(
            f"The run had come to {reached}, and nothing of it is in {folder}. Mount that folder "
            "or put it back, and resume then; to start over, `orch submit` the job as a new run."
        )


def go_on(folder: RunFolder) -> None:
    """Take back, as the driver, that a run has failed or was stopped. Raises OSError."""
    said = _kept_in(folder.driver_facts)
    if said.failed or said.stopped:
        _write(folder.driver_facts, replace(said, state=State.RUNNING, failed=None, stopped=None))


def _file_of(folder: RunFolder, event: Event) -> WholeFile:
    """Return the file of those who say such events."""
    if isinstance(event, _WORKERS):
        return folder.facts
    if isinstance(event, Gathered | Restarted):
        return folder.restarts
    return folder.recorded if isinstance(event, Recorded) else folder.driver_facts


def _write(file: WholeFile, facts: RunFacts) -> None:
    file.write(dumps(plain(facts)))


def facts_of(folder: RunFolder) -> RunFacts:
    """Return the facts in a run's folder; none of a file that is missing or damaged.

    The driver alone says how a run ended. What is only in the workers' file may be from a version
    that had no other.
    """
    facts = facts_at(folder.facts)
    for file, names in (
        (folder.recorded, ("recorded",)),
        (folder.restarts, ("state", "restarts", "gathered")),
        (folder.driver_facts, _OF_DRIVER),
    ):
        if (part := facts_at(file)) != RunFacts():
            facts = replace(facts, **{name: getattr(part, name) for name in names})
    return facts


def facts_at(file: WholeFile) -> RunFacts:
    """Return the facts in a file; none of one that is missing or damaged."""
    try:
        return _kept_in(file)
    except StorageTrouble:
        return RunFacts()


def _kept_in(file: WholeFile) -> RunFacts:
    """Return the facts in a file as `facts_at` does. Raises StorageTrouble if nothing is known."""
    try:
        return facts_in(file.read_json())
    except StorageTrouble:
        raise
    except (OSError, ValueError):
        return RunFacts()


def finished_in(folder: RunFolder) -> Finished:
    """Return the end that the workers wrote to a run's folder.

    Raises OSError without one, and ValueError when it is damaged.
    """
    return made_of(Finished, folder.result.read_json())


def end_of(folder: RunFolder) -> Finished | None:
    """Return the same, or None where there is none that can be read."""
    try:
        return finished_in(folder)
    except (OSError, ValueError):
        return None


def write_end(folder: RunFolder, result: Result) -> None:
    """Write the results of a run that has finished to its folder."""
    end = Finished(
        run_dir=str(folder),
        metric_name=result.metric_name,
        epoch=result.epoch,
        step=result.step,
        rows=result.rows,
        delta_b=result.delta_b,
        delta_b_note=result.note,
        table=result.markdown(),
    )
    folder.result.write(dumps(plain(end)))
