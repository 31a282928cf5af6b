"""orch submit --dry-run of a search: its space, its first trials, how many fit and how long."""

from typing import TYPE_CHECKING

from orchestrator.cli.output import answer, print_table
from orchestrator.wording import duration, settings_line

if TYPE_CHECKING:
    from orchestrator.runs.preview import SearchOutlook


def show(search: "SearchOutlook", num_workers: int) -> None:
    """Print what a search would do. num_workers: of each run."""
    answer("")
    answer(
        f"search         {_trials(search)} of {_count(search.epochs, 'epoch')} at most, "
        f"{search.metric} ({search.direction}), searcher {search.searcher}, "
        f"scheduler {search.scheduler}"
    )
    answer("")
    columns = ("KEY", "KIND", "VALUES", "PRIOR", "WHEN")
    rows = [(a.key, a.kind, a.range, a.prior, a.when or "always") for a in search.axes]
    width = 5 if any(axis.when for axis in search.axes) else 4
    print_table(columns[:width], [row[:width] for row in rows])
    answer("")
    for trial in search.first:
        answer(f"{trial.trial:<15}{settings_line(trial.settings)} ({trial.origin})")
    if len(search.first) < search.trials:
        answer("...")
    answer(f"corners        {search.corners} checked")
    answer(f"at once        {_room(search, num_workers)}")
    answer(f"takes          {_time(search)}")
    if search.budget:
        answer(f"ends           after {search.budget} in any case")


def _trials(search: "SearchOutlook") -> str:
    seeds = f" with {search.seeds} seeds" if search.seeds > 1 else ""
    return _count(search.trials, "trial") + seeds


def _room(search: "SearchOutlook", num_workers: int) -> str:
    if search.runs_at_once is None:
        return "not known, the cluster does not answer"
    runs = _count(search.runs_at_once, "run")
    return f"{runs} of {_count(num_workers, 'worker')} each ({search.cluster})"


def _time(search: "SearchOutlook") -> str:
    found = search.duration
    if found is None:
        return "no former run of this job: hours unknown"
    runs = f"{search.trials} trials" + (f" x {search.seeds} seeds" if search.seeds > 1 else "")
    less = f", less with {search.scheduler}" if search.scheduler != "none" else ""
    return (
        f"about {duration(found.hours * 3600)} at most{less}: {runs} x "
        f"{_count(search.epochs, 'epoch')} x {found.epoch_seconds:.1f} s, "
        f"{search.runs_at_once} at once (measured by {found.measured_by})"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
