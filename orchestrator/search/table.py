"""The table of trials: the best of them in Markdown, all of them as CSV."""

import csv
import io
import json
from collections.abc import Iterable, Sequence

from orchestrator.job.short_names import short_names
from orchestrator.search.objective import DELTA_B
from orchestrator.search.records import Opened, TrialState
from orchestrator.search.standing import Standing
from orchestrator.search.trial import Trial, run_names
from orchestrator.wording import shown

MOST_ROWS = 20
MOST_REASONS = 5


def markdown(standing: Standing) -> str:
    """Return the best trials of an opened search as a Markdown table, and what became of the rest.

    Finished trials come before those that were stopped, at whatever value these were.
    """
    opened = _opened(standing)
    trials = best_first(standing)
    points = [point for point in points_of(trials) if point != opened.metric]
    spread = ["spread"] * (opened.seeds > 1)
    delta_b = [DELTA_B] * _adds_delta_b(opened, trials)
    names = short_names(opened.keys)
    heads = ["trial", "state", opened.metric, *spread, "epoch", *names.values(), *points, *delta_b]
    rows = [_row(trial, opened, points, bool(delta_b)) for trial in trials[:MOST_ROWS]]
    align = ["---", "---", *["---:"] * (len(heads) - 2)]
    lines = [_line(heads), _line(align), *map(_line, rows), "", _counts(standing)]
    return "\n".join([*lines, *_reasons(trials)]) + "\n"


def rows_as_csv(standing: Standing) -> str:
    """Return all trials of an opened search as CSV, in the order in which they were planned.

    Metrics are in percent; hours are those of all workers of a trial together; seed_1 and so on are
    the values of its runs, in the order of their seeds.
    """
    opened = _opened(standing)
    trials = list(standing.trials.values())
    points = points_of(trials)
    seeds = [f"seed_{number + 1}" for number in range(opened.seeds)]
    heads = ["trial", "state", "value", "spread", "epoch", "step", "worker_hours", *opened.keys]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*heads, *points, DELTA_B, "origin", "reason", "runs", *seeds])
    writer.writerows(_fields(trial, opened, points) for trial in trials)
    return text.getvalue()


def best_first(standing: Standing) -> list[Trial]:
    """Return all trials: the finished ones, others with a value, the rest; each the best first."""
    finished = [t for t in standing.trials.values() if t.state == TrialState.FINISHED]
    others = [t for t in standing.trials.values() if t.state != TrialState.FINISHED]
    rated = [*standing.ranked(finished), *standing.ranked(others)]
    return rated + [t for t in standing.trials.values() if t.value is None]


def points_of(trials: Iterable[Trial]) -> list[str]:
    """Return the operating points at which trials were evaluated, each once."""
    return list(dict.fromkeys(point for trial in trials for point in trial.points))


def _opened(standing: Standing) -> Opened:
    assert standing.opened is not None
    return standing.opened


def _adds_delta_b(opened: Opened, trials: Sequence[Trial]) -> bool:
    return opened.metric != DELTA_B and any(trial.delta_b is not None for trial in trials)


def _row(trial: Trial, opened: Opened, points: Sequence[str], delta_b: bool) -> list[str]:
    spread = [_percent(trial.spread)] * (opened.seeds > 1)
    return [
        trial.name,
        trial.state.value,
        _percent(trial.value),
        *spread,
        f"{trial.epoch}/{opened.epochs}",
        *(shown(trial.settings.get(key, "-")) for key in opened.keys),
        *(_percent(trial.points.get(point)) for point in points),
        *[_percent(trial.delta_b)] * delta_b,
    ]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _counts(standing: Standing) -> str:
    total, opened = len(standing.trials), _opened(standing)
    hidden = f"{total - MOST_ROWS} more are in trials.csv. " * (total > MOST_ROWS)
    counted = ", ".join(f"{count} {state.value}" for state, count in standing.counts.items())
    hours = standing.worker_seconds(standing.time) / 3600
    done = f"{total} of {opened.trials} trials: {counted or 'none yet'}"
    return f"{hidden}{done}; {hours:.2f} worker-hours."


def _reasons(trials: Sequence[Trial]) -> list[str]:
    failed = [trial for trial in trials if trial.state == TrialState.FAILED]
    lines = [f"- {trial.name} failed: {trial.reason}" for trial in failed[:MOST_REASONS]]
    return ["", *lines] if lines else []


def _fields(trial: Trial, opened: Opened, points: Sequence[str]) -> list[str]:
    by_seed = [_exact(value) for value in trial.by_seed]
    return [
        trial.name,
        trial.state.value,
        _exact(trial.value),
        _exact(trial.spread),
        str(trial.epoch),
        str(trial.step),
        f"{trial.worker_seconds / 3600:.4f}",
        *(_written(trial.settings[key]) if key in trial.settings else "" for key in opened.keys),
        *(_exact(trial.points.get(point)) for point in points),
        _exact(trial.delta_b),
        trial.origin,
        trial.reason,
        " ".join(run_names(trial.name, opened.seeds)),
        *(by_seed + [""] * (opened.seeds - len(by_seed))),
    ]


def _exact(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _written(setting: object) -> str:
    return setting if isinstance(setting, str) else json.dumps(setting)
