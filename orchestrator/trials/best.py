"""The job of a search's best trial, ready to submit: it repeats the trial exactly."""

from orchestrator.job.schema import Job
from orchestrator.job.source import dump
from orchestrator.job.trial import load_trial
from orchestrator.search.records import TrialState
from orchestrator.search.standing import Standing
from orchestrator.search.trial import Trial
from orchestrator.store.search_folder import SearchFolder
from orchestrator.wording import settings_line


def write_best(search: SearchFolder, job: Job, standing: Standing) -> None:
    """Write the job of the best trial to the search's folder, if a trial has a value.

    job: of the search. The name of the new one ends in _best.
    """
    best = standing.best
    if best is None:
        return
    values = job.as_dict() | {"name": f"{job.name[:75]}_best"}
    found = load_trial(values, best.settings, search.best.name, job.seed).job
    search.best.write(f"# {_about(search, standing, best)}\n{dump(found.as_dict())}")


def _about(search: SearchFolder, standing: Standing, best: Trial) -> str:
    """Return in a line where the job comes from, and what its trial reached."""
    assert standing.opened is not None
    assert best.value is not None
    which = "The best trial" if best.state == TrialState.FINISHED else "The best trial so far"
    seeds = len(best.by_seed)
    of_seeds = f", mean of {seeds} seeds of which this is the first" if seeds > 1 else ""
    return (
        f"{which} of {search.run.name}: {best.name}, {best.state.value}, {standing.opened.metric} "
        f"{best.value:.2f} after epoch {best.epoch}{of_seeds}; {settings_line(best.settings)}."
    )
