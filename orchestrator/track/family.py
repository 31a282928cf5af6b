"""Parents and children in MLflow: a search and its trials, a group of jobs and their runs."""

from collections.abc import Mapping
from functools import lru_cache

import yaml

from orchestrator.job.families import value_at
from orchestrator.job.schema import Tracking
from orchestrator.job.source import Values
from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder
from orchestrator.track import recorder
from orchestrator.track.journal import Journal
from orchestrator.track.recorder import Reading
from orchestrator.track.run import TrackedRun, remembered_run

SEARCH_TAG, TRIAL_TAG, END_TAG = "orch.search", "orch.trial", "orch.end"
"""The tags that name a search and a run of it (t007), and say how its trial ended."""
PARENT_TAG = "mlflow.parentRunId"
OBJECTIVE, BEST = "objective", "best_so_far"
"""Metrics: what a run had reached when its trial ended, and the search after so many trials."""


def tags(folder: RunFolder) -> dict[str, str]:
    """Return the tags that tie the record of a run to that of its search; none for other runs."""
    search = SearchFolder.above(folder)
    if search is None:
        return {}
    named = {SEARCH_TAG: search.run.name, TRIAL_TAG: search.called(folder)}
    parent = remembered_run(search.run)
    return named | ({PARENT_TAG: parent.run_id} if parent else {})


def group_tags(uri: str, tracking: Tracking) -> dict[str, str]:
    """Return the tag that ties the record of a run to its group, if it has one.

    The group's own run is begun by whichever job comes first.
    """
    if tracking.group is None:
        return {}
    parent = recorder.open_group(uri, tracking.experiment, tracking.group)
    return {PARENT_TAG: parent}


def searched(folder: RunFolder, job: Values) -> dict[str, str]:
    """Return the values that a trial's job has of the searched keys; none for other runs."""
    search = SearchFolder.above(folder)
    if search is None or not search.run.job.exists():
        return {}
    keys = _searched_keys(search.run.job.read())
    return {key: str(value_at(job, tuple(key.split(".")))) for key in keys}


def mark_end(run: TrackedRun, how: str, at: float, step: int, value: float | None) -> None:
    """Say in the record of a run how its trial ended.

    at: when, in seconds since 1970. step: of the run. value: what the run itself had reached.
    """
    reached = [] if value is None else [Reading(OBJECTIVE, value, int(at * 1000), step)]
    recorder.mark(run, reached, {END_TAG: how})


def say_end(run: TrackedRun, how: str) -> None:
    """Say in the record of a run how it came to an end that is not that of its trial."""
    recorder.mark(run, [], {END_TAG: how})


def note_best(search: SearchFolder, best: Mapping[int, float]) -> None:
    """Record the best values so far of a search, by how many trials had ended. Raises OSError."""
    journal = Journal(search.run)
    for ended, value in best.items():
        journal.append(ended, {BEST: value})


def show(search: SearchFolder) -> None:
    """Bring the page of a search up to date, if it has a record: text, tables, figures."""
    run = remembered_run(search.run)
    if run is None:
        return
    recorder.set_description(run, about(search.run))
    for file in (search.table, search.rows, search.best):
        if file.exists():
            with file.here() as here:
                recorder.keep_files(run, [here])
    with search.figures.here() as folder:
        recorder.keep_files(run, sorted(folder.glob("*")), search.figures.name)


def about(folder: RunFolder) -> str:
    """Return the text at the top of a search's page, in Markdown; nothing for other runs."""
    page = SearchFolder(folder).page
    return page.read() if page.exists() else ""


@lru_cache(maxsize=4)
def _searched_keys(search_job: str) -> tuple[str, ...]:
    values = yaml.safe_load(search_job)
    return tuple((values.get("search") or {}).get("space", {}))
