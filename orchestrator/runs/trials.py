"""A trial of a search as a run: what its search, its folder and its events say of it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from orchestrator import run_facts
from orchestrator.errors import OrchError, UnknownJob, UsageError
from orchestrator.event_parts import TrialRow
from orchestrator.events import Evaluated, Event, Searching, TrialEnded
from orchestrator.run_facts import RunFacts
from orchestrator.runs import registry
from orchestrator.runs.registry import Record
from orchestrator.search import announce
from orchestrator.search.journal import SearchJournal
from orchestrator.search.records import Opened, TrialState, trial_of
from orchestrator.search.standing import Standing
from orchestrator.search.trial import Trial, run_names
from orchestrator.state import State, is_final
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.run_folder import RunFolder
from orchestrator.typed_json import Values

_STATES = {
    TrialState.FINISHED: State.SUCCEEDED,
    TrialState.STOPPED_EARLY: State.STOPPED,
    TrialState.STOPPED: State.STOPPED,
    TrialState.OUT_OF_BUDGET: State.STOPPED,
    TrialState.FAILED: State.FAILED,
}
"""The state of a run that was a trial, once that has ended."""

_SECTIONS = ("model", "quantizer", "method", "data", "optimizer", "training")
"""What the settings of every run have; other sections follow, so that a cut file lacks some."""


class Seen(NamedTuple):
    """What is known of a trial."""

    row: TrialRow
    facts: RunFacts


def standing_of(search: Record) -> Standing:
    """Return how a search stands by its journal.

    It is without `opened` where none is seen here, and where the first line is damaged, without
    which the others say little.
    """
    try:
        records = SearchJournal(search.search_folder).read().records
    except OSError:
        return Standing()
    return Standing.of(records if isinstance(next(iter(records), None), Opened) else ())


def damage(search: Record, standing: Standing) -> str:
    """Return that the journal of a search that has begun trials is not readable; else nothing."""
    folder = search.search_folder
    try:
        is_damaged = not standing.opened and bool(folder.runs())
    except StorageTrouble:
        return ""
    return f"{folder.journal} is damaged or gone" if is_damaged else ""


def in_folder(record: Record, standing: Standing) -> Seen:
    """Return what the folder of its search says of a trial. Raises UnknownJob without such one."""
    trial = standing.trials.get(trial_of(record.within))
    if trial is None:
        raise _unknown(record, standing)
    return Seen(announce.row(trial), _facts(record, trial, standing))


def in_events(record: Record, events: Iterable[Event]) -> Seen:
    """Return what the events of its search say of a trial. Raises UnknownJob if nothing does."""
    facts, row = RunFacts(), None
    for event in events:
        if event.trial == record.within:
            facts = facts.after(replace(event, trial=None))
        for told in _rows(event):
            row = told if told.trial == trial_of(record.within) else row
    if row is None:
        raise UnknownJob(
            f"Nothing is known of a trial {record.within} of {record.search}. "
            f"`orch status {record.search}` shows what is."
        )
    return Seen(row, facts)


def state_of(row: TrialRow, search: State) -> State:
    """Return the state of a trial as a run's; a search that has ended took its trials along."""
    state = TrialState(row.state)
    if state.ended:
        return _STATES[state]
    if is_final(search):
        return search
    return State.PENDING if state == TrialState.PLANNED else State.RUNNING


def note_of(row: TrialRow, search: State) -> str:
    """Return how a trial stands and why: "stopped early: 61 < 80, asha"."""
    if row.state == TrialState.RUNNING and is_final(search):
        return "interrupted with its search"
    return f"{row.state}: {row.reason}" if row.reason else row.state


def folders_of(search: Record, trial: str, seeds: int) -> list[RunFolder]:
    """Return the folders of the runs of a trial."""
    return [search.search_folder.of_run(run) for run in run_names(trial, seeds)]


def job_of(record: Record) -> Values:
    """Return the settings with which a run began.

    Raises UsageError where they are damaged or, for a trial, not seen here, and UnknownJob for one
    that its search does not have.
    """
    if not record.within:
        return _whole(record.job, f"The record of {record.run}")
    import yaml

    file = record.folder.job
    try:
        return _whole(yaml.safe_load(file.read()), str(file))
    except OSError as error:
        raise _unseen(record, error) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UsageError(f"{file} is damaged: it is no YAML.") from error


def _whole(values: Any, where: str) -> Values:
    """Return the settings of a run. Raises UsageError for values that are none, as of a cut file.

    where: what holds the values.
    """
    is_mapping = isinstance(values, Mapping)
    missing = [one for one in _SECTIONS if not (is_mapping and isinstance(values.get(one), dict))]
    if missing:
        lacking = " and ".join(missing[:2])
        raise UsageError(f"{where} is damaged: expected are the settings of a run, with {lacking}.")
    return dict(values)


def _unseen(record: Record, error: OSError) -> OrchError:
    """Return the error for a trial whose settings cannot be read."""
    search = registry.kept(record.search)
    opened = (standing := standing_of(search) if search else Standing()).opened
    name = trial_of(record.within)
    if opened and name not in standing.trials:
        return _unknown(record, standing)
    hint = ""
    if opened and opened.seeds > 1 and record.within not in run_names(name, opened.seeds):
        hint = f" Name it with one of its {opened.seeds} seeds: {record.search}.{name}s1."
    why = error.strerror or error
    return UsageError(
        f"The job of {record.run} is not seen here ({record.folder.job}: {why}).{hint}"
    )


def _unknown(record: Record, standing: Standing) -> UnknownJob:
    """Return the error for a trial that its search does not have."""
    return UnknownJob(
        f"{record.search} has no trial {trial_of(record.within)}: it has {_known(standing)}. "
        f"`orch status {record.search}` shows them."
    )


def _known(standing: Standing) -> str:
    """Return "4 of 12 so far, t001 to t004"."""
    assert standing.opened is not None
    names = list(standing.trials)
    between = f", {names[0]} to {names[-1]}" if names else ""
    return f"{len(names)} of {standing.opened.trials} so far{between}"


def _rows(event: Event) -> tuple[TrialRow, ...]:
    match event:
        case Searching():
            return (*event.living, *event.failed)
        case TrialEnded():
            return (event.row,)
    return ()


def _facts(record: Record, trial: Trial, standing: Standing) -> RunFacts:
    """Return the facts of a trial's folder; of one with several seeds, their mean results."""
    assert standing.opened is not None
    runs = run_names(trial.name, standing.opened.seeds)
    if record.within in runs:
        return _with_end(record.folder)
    folder = RunFolder(record.folder.place.parent / f"{record.search}.{runs[0]}")
    first = run_facts.facts_of(folder).evaluated
    if first is None or not trial.points:
        return RunFacts()
    mean = Evaluated(
        epoch=trial.epoch - 1,
        epochs=standing.opened.epochs,
        metric_name=first.metric_name,
        metric=dict(trial.points),
        loss={},
    )
    return RunFacts(evaluated=mean)


def _with_end(folder: RunFolder) -> RunFacts:
    """Return the facts of a run's folder, with its results if it has finished."""
    facts = run_facts.facts_of(folder)
    try:
        return replace(facts, finished=run_facts.finished_in(folder))
    except (OSError, ValueError):
        return facts
