"""What the records of a search's runs say once their trials have ended, or their search has."""

from orchestrator.errors import Refused, UsageError
from orchestrator.events import of_trial
from orchestrator.search.journal import SearchJournal
from orchestrator.search.objective import objective
from orchestrator.search.records import Ended, TrialState, trial_of
from orchestrator.search.standing import Standing
from orchestrator.search.trial import Run
from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder
from orchestrator.track import family, record
from orchestrator.track.record import Tell
from orchestrator.track.run import remember_end, remembered_end, remembered_status

INTERRUPTED = "KILLED"
"""MLflow's status of a run that its search will continue."""

_STATUS = {TrialState.FINISHED: "FINISHED", TrialState.FAILED: "FAILED"}


def status_of(run: str, standing: Standing) -> str:
    """Return MLflow's status of a run of a search that has ended. run: such as t007."""
    trial = standing.trials.get(trial_of(run))
    return _STATUS.get(trial.state, INTERRUPTED) if trial else INTERRUPTED


def value_of(run: Run, end: Ended, metric: str) -> float | None:
    """Return what a run itself had reached when its trial ended. metric: of the search."""
    last = run.reports.get(end.epoch)
    return objective(metric, last.points, last.delta_b) if last else None


def close_record(folder: RunFolder, run: str, end: Ended, value: float | None, tell: Tell) -> int:
    """Close the record of a run whose trial has ended, unless that was done or it never had one.

    A status alone does not say that it was: whoever looks at a search whose driver was killed
    closes all its records. run: such as t007. value: what the run itself reached. Returns how many
    metrics were sent. Raises Unreachable and Refused as the tracking server does.
    """
    if not _is_open(folder, ended=True):
        return 0
    with of_trial(run):
        tracked, sent = record.send(folder, _final(folder, end), tell)
    family.mark_end(tracked, _how(end), end.time, end.step, value)
    remember_end(folder, _how(end))
    return sent


def interrupt_record(folder: RunFolder, run: Run, tell: Tell) -> int:
    """Close the record of a run that its search will continue, unless it was trained by itself.

    Returns how many metrics were sent. Raises Unreachable and Refused as the tracking server does.
    """
    if not _is_open(folder, ended=False):
        return 0
    with of_trial(run.name):
        tracked, sent = record.send(folder, INTERRUPTED, tell)
    step = run.reports[run.epoch].step if run.epoch else 0
    family.say_end(tracked, f"interrupted{_after(run.epoch, step)}, goes on with its search")
    return sent


def close_all(search: SearchFolder, tell: Tell) -> int:
    """Bring the records of all runs of a search that has ended up to date, by its journal.

    A run that a damaged journal does not know was interrupted, as far as anyone can say. Those that
    are not closed get what they were given as well: the driver may not have come to it. A run whose
    folder is damaged is said. Returns how many metrics were sent. Raises Unreachable and Refused as
    the tracking server does.
    """
    records = SearchJournal(search).read().records
    standing = Standing.of(records)
    ends = {one.trial: one for one in records if isinstance(one, Ended)}
    sent = 0
    for folder in search.runs():
        name = search.called(folder)
        try:
            sent += _close(folder, name, standing, ends.get(trial_of(name)), tell)
        except Refused:
            raise
        except UsageError as error:
            tell(str(error))
    return sent


def _close(folder: RunFolder, name: str, standing: Standing, end: Ended | None, tell: Tell) -> int:
    run = standing.runs.get(name, Run(name))
    if _is_open(folder, ended=end is not None):
        record.keep_place(folder, record.open_record(folder, tell))
    if end and standing.opened:
        value = value_of(run, end, standing.opened.metric)
        return close_record(folder, name, end, value, tell)
    return interrupt_record(folder, run, tell)


def _is_open(folder: RunFolder, *, ended: bool) -> bool:
    """Return whether a run has a record to close. ended: its trial has."""
    is_told = remembered_end(folder) is not None
    if not ended and remembered_status(folder) in _STATUS.values():
        return False
    return folder.job.exists() and not is_told


def _final(folder: RunFolder, end: Ended) -> str:
    """Return MLflow's status of a run, which may have been trained to its end by itself later."""
    return "FINISHED" if folder.result.exists() else _STATUS.get(end.state, INTERRUPTED)


def _how(end: Ended) -> str:
    """Return "stopped early after epoch 3, step 120: 41.2 < 43.0, asha"."""
    reason = f": {end.reason}" if end.reason else ""
    return f"{end.state.value}{_after(end.epoch, end.step)}{reason}"


def _after(epoch: int, step: int) -> str:
    return f" after epoch {epoch}, step {step}" if epoch else ""
