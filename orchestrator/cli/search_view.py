"""A search and its trials in the lines that list, status and others print."""

from collections.abc import Iterator
from dataclasses import replace

from orchestrator.event_parts import TrialRow
from orchestrator.events import Searched, Searching
from orchestrator.runs.delay import is_late, silence
from orchestrator.runs.view import RunView
from orchestrator.state import State, is_final
from orchestrator.wording import duration, search_line, settings_line, trial_line


def standing(seen: RunView, at: Searching) -> Iterator[str]:
    """Yield how far a search is, then each trial that lives and each that failed."""
    ago = ""
    if is_final(seen.state):
        at = replace(at, living=(), eta_seconds=None)
    elif is_late(seen.facts, silent := silence(seen.facts)):
        at = replace(at, eta_seconds=None)
        ago = f"  ({duration(silent)} ago)"
    yield f"search: {search_line(at)}{ago}"
    for row in (*at.living, *at.failed):
        yield f"  {trial_line(row, at.metric, at.epochs)}"


def progress(seen: RunView, at: Searching) -> str:
    """Return how far a search is, for the list: "12/24 trials ETA 41m00s"."""
    text = f"{sum(at.ended.values())}/{at.trials} trials"
    if seen.state is not State.RUNNING:
        return text
    silent = silence(seen.facts)
    late = is_late(seen.facts, silent)
    return text + (f", {duration(silent)} ago" if late else f" ETA {duration(at.eta_seconds)}")


def result(seen: RunView) -> str:
    """Return the best trial so far, for the list: "delta_b 98.31 t007"; nothing without one."""
    at = seen.facts.searched or seen.facts.searching
    best = at.best if at else None
    if at is None or best is None or best.value is None:
        return ""
    return f"{at.metric} {best.value:.2f} {best.trial}"


def answer_of(searched: Searched) -> list[str]:
    """Return what a search has found: its table, the best trial and how to use its settings."""
    best = searched.best
    value = f"{best.value:.2f}" if best.value is not None else "-"
    return [
        searched.table,
        f"best: {best.trial}, {searched.metric} {value}: {settings_line(best.settings)}",
        f"`orch submit {searched.best_job}` trains it again.",
    ]


def end_of_trial(seen: RunView, row: TrialRow) -> list[str]:
    """Return how a trial ended: its table, or why there is none."""
    if seen.facts.finished:
        return [seen.facts.finished.table]
    resume = f"`orch resume {seen.record.run}` trains it on, once its search has ended."
    return [f"{seen.state}: {row.trial} {seen.note}", resume]
