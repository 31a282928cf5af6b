"""The runs that were submitted from here: a JSON file for each, found by name.

A trial of a search is found by name, too. It has no file of its own until it is resumed by itself.
"""

import difflib
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator import home, state_file
from orchestrator.errors import UnknownJob, UsageError
from orchestrator.run_facts import RunFacts, facts_in
from orchestrator.state import State
from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder
from orchestrator.strict_json import dumps
from orchestrator.typed_json import Values, made_of, plain

_LOG = logging.getLogger(__name__)
_TRIAL = re.compile(r"(.+)\.(t\d{3,}(?:[sg]\d+)?)")
"""A search, and one of its trials or of their runs: quickstart.t007, quickstart.t007s1."""

LATEST = 2.5e11
"""No time of a record is later, in seconds since 1970: a calendar has four digits for the year."""


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended. ended: when, in seconds since 1970, where that is known."""

    state: State
    exit_code: int | None
    message: str
    facts: RunFacts
    ended: float | None = None


@dataclass(frozen=True)
class Attempt:
    """One submission of a run. outcome: how it ended, once that is known."""

    submission_id: str
    submitted_at: float
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Record:
    """One run. job: its settings as plain values; local: it runs on the local head of orch;
    cluster: the name of the cluster that it was sent to by name.
    """

    run: str
    name: str
    job: Values
    job_file: str
    address: str
    local: bool
    run_dir: str
    attempts: tuple[Attempt, ...] = field(default=())
    cluster: str = ""

    @property
    def folder(self) -> RunFolder:
        """The run's folder, which may be on another machine."""
        return RunFolder(self.run_dir)

    @property
    def last(self) -> Attempt:
        """The latest submission."""
        return self.attempts[-1]

    @property
    def is_search(self) -> bool:
        """Whether the run is a search, which has trials."""
        return bool(self.job.get("search")) and not self.within

    @property
    def search_folder(self) -> SearchFolder:
        """The run's folder as that of a search."""
        return SearchFolder(self.folder)

    @property
    def search(self) -> str:
        """The search whose job trains this run, if it is a trial; else the run itself."""
        return run_of(self.last.submission_id)

    @property
    def within(self) -> str:
        """What a trial is called within its search: t007, or t007s1; nothing for other runs."""
        return self.run.removeprefix(f"{self.search}.") if self.search != self.run else ""

    def of_trial(self, within: str) -> "Record":
        """Return the record of a trial of this search, which its search's job trains."""
        return Record(
            run=f"{self.run}.{within}",
            name=f"{self.name}.{within}",
            job=self.job,
            job_file=self.job_file,
            address=self.address,
            local=self.local,
            run_dir=str(self.search_folder.of_run(within)),
            attempts=(replace(self.last, outcome=None),),
            cluster=self.cluster,
        )

    @property
    def reached(self) -> str:
        """How far its attempts are known to have come, in words."""
        known = (one.outcome.facts.reached for one in reversed(self.attempts) if one.outcome)
        return next(filter(None, known), "")

    def again(self, submitted_at: float) -> "Record":
        """Return the record with one more attempt."""
        number = len(self.attempts) + 1
        attempt = Attempt(submission_id(self.run, number), submitted_at)
        return replace(self, attempts=(*self.attempts, attempt))


def submission_id(run: str, attempt: int) -> str:
    """Return the id of an attempt on the cluster: the run's own for the first, then `.a2` ..."""
    return run if attempt == 1 else f"{run}.a{attempt}"


def run_of(submission: str) -> str:
    """Return the run to which a submission belongs."""
    run, mark, number = submission.rpartition(".a")
    return run if mark and number.isdigit() else submission


def save(record: Record) -> None:
    """Write a record, completely or not at all."""
    home.save(home.folder("runs") / f"{record.run}.json", dumps(plain(record), indent=1))


def change(run: str, how: Callable[[Record | None], Record | None]) -> Record | None:
    """Put what `how` makes of a run's record in its place, and return that; None is no record.

    Other commands that change a record wait meanwhile, so that none undoes what another one did.
    """
    with home.locked(home.folder("locks") / "records"):
        before = kept(run)
        after = how(before)
        if after is None:
            _path(run).unlink(missing_ok=True)
        elif after is not before:
            save(after)
        return after


def kept(run: str) -> Record | None:
    """Return the record of exactly this run as it is on disk; None when there is none."""
    return state_file.read(_path(run), _record)


def locked(run: str) -> AbstractContextManager[None]:
    """Let other commands that submit this run again, or another one of its search, wait."""
    trial = _TRIAL.fullmatch(run)
    return home.locked(home.folder("locks") / (trial[1] if trial else run))


def note_outcome(record: Record, outcome: Outcome) -> Record:
    """Record how the latest attempt ended, and return the new record.

    A record that has a later attempt by now stays as it is. Where it cannot be written, as on a
    full disk, that is a warning: the cluster and the run's folder can be asked again.
    """

    def noted(now: Record | None) -> Record:
        ended = now or record
        if ended.last.submission_id != record.last.submission_id:
            return ended
        return replace(ended, attempts=(*ended.attempts[:-1], replace(ended.last, outcome=outcome)))

    try:
        return change(record.run, noted) or record
    except UsageError as error:
        _LOG.warning("How %s ended is shown, but not kept: %s", record.run, error)
        return noted(record)


def load_all() -> list[Record]:
    """Return all runs, the latest submission first. A record that cannot be read is named."""
    found = (state_file.read(path, _record) for path in home.files_in("runs"))
    records = [record for record in found if record]
    return sorted(records, key=lambda record: record.last.submitted_at, reverse=True)


def find(name: str) -> Record:
    """Return the run meant by `name`: its id, a job's name (its latest run), a unique beginning
    of either, or `last`; any of these and `.t007` for a trial of that run.
    Raises UnknownJob, naming similar ones.
    """
    records = load_all()
    if trial := _TRIAL.fullmatch(name):
        return _trial(_found(trial[1], records), trial[2], records)
    return _found(name, records)


def named(name: str) -> Record | None:
    """Return the latest run with exactly this id or job's name, or one of its trials; else None."""
    records, trial = load_all(), _TRIAL.fullmatch(name)
    wanted = trial[1] if trial else name
    found = next((record for record in records if wanted in (record.run, record.name)), None)
    return _trial(found, trial[2], records) if found and trial else found


def _trial(search: Record, within: str, records: list[Record]) -> Record:
    """Return the record of a trial: its own, if it was resumed by itself.

    Unless its search was resumed since: then that trains it.
    """
    if not search.is_search:
        raise UnknownJob(f"{search.run} is no search; it has no trial {within}.")
    made = search.of_trial(within)
    own = next((record for record in records if record.run == made.run), None)
    if own is None:
        return made
    resumed = search.last.submitted_at > own.last.submitted_at and search.last.outcome is None
    return replace(made, attempts=(*own.attempts, *made.attempts)) if resumed else own


def trained_alone(search: Record) -> list[Record]:
    """Return the records of a search's trials that were resumed by themselves."""
    found = ((record, _TRIAL.fullmatch(record.run)) for record in load_all())
    return [record for record, trial in found if trial and trial[1] == search.run]


def _found(name: str, records: list[Record]) -> Record:
    for record in records:
        if name in (record.run, record.last.submission_id):
            return record
    if name == "last" and records:
        return records[0]
    records = [record for record in records if not _TRIAL.fullmatch(record.run)]
    wanted: tuple[Callable[[Record], bool], ...] = (
        lambda record: record.name == name,
        lambda record: record.name.startswith(name),
        lambda record: record.run.startswith(name),
    )
    for matches in wanted:
        found = [record for record in records if matches(record)]
        if len({record.name for record in found}) > 1 or (len(found) > 1 and matches is wanted[-1]):
            raise UnknownJob(f"{name!r} could be any of: {_named(r.run for r in found)}.")
        if found:
            return found[0]
    raise UnknownJob(f"No job is called {name!r}. {_near(name, records)}")


def _near(name: str, records: list[Record]) -> str:
    if not records:
        return "None was submitted from here yet; `orch submit FILE` does that."
    known = [word for record in records for word in (record.name, record.run)]
    near = difflib.get_close_matches(name, dict.fromkeys(known), n=3)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"The latest are: {_named(record.run for record in records)}."


def _named(runs: Iterable[str]) -> str:
    names = list(runs)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _path(run: str) -> Path:
    return home.orch_home() / "runs" / f"{run}.json"


def _record(values: Any) -> Record:
    """Return the record in a file's JSON. Raises ValueError when there is none."""
    if not isinstance(values, dict) or not isinstance(values.get("attempts"), list):
        raise ValueError("it describes no run")
    attempts = tuple(_attempt(each) for each in values["attempts"])
    if not attempts:
        raise ValueError("its run was never submitted")
    record = made_of(Record, {**values, "attempts": attempts})
    trial = _TRIAL.fullmatch(record.run)
    own = (record.run, trial[1]) if trial else (record.run,)
    *_, last = runs = [run_of(attempt.submission_id) for attempt in attempts]
    if last != record.run or any(run not in own for run in runs):
        raise ValueError(f"its run is {record.run}, but its attempts are of {', '.join(runs)}")
    return record


def _attempt(values: object) -> Attempt:
    """Return an attempt; an outcome from another version is left out, and is asked for again."""
    if not isinstance(values, Mapping):
        raise ValueError("an attempt of its run is no JSON object")
    attempt = made_of(Attempt, {**values, "outcome": _outcome(values.get("outcome"))})
    if not 0 <= attempt.submitted_at < LATEST:
        raise ValueError(f"its 'submitted_at' is {attempt.submitted_at}")
    return attempt


def _outcome(values: object) -> Outcome | None:
    """Return an outcome, with the facts of it that can be understood."""
    if not isinstance(values, Mapping) or not isinstance(values.get("facts"), Mapping):
        return None
    try:
        outcome = made_of(Outcome, {**values, "facts": facts_in(values["facts"])})
    except ValueError:
        return None
    return outcome if 0 <= (outcome.ended or 0) < LATEST else None
