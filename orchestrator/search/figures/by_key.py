"""Figures over one searched key: the value of each trial, and each operating point."""

import itertools
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes

from orchestrator.drawing import PALETTE, Drawing, legend_below, new_axes
from orchestrator.search.bins import Bins, binned
from orchestrator.search.figures.axes import COLORS, after, scale_to
from orchestrator.search.level import Level
from orchestrator.search.objective import in_words, mean
from orchestrator.search.records import Opened, TrialState
from orchestrator.search.standing import Standing
from orchestrator.search.trial import Trial


def value_by_key(standing: Standing, opened: Opened, key: str) -> Iterator[Drawing]:
    """Yield the value of each trial over a key: a bar spans the seeds.

    What did not finish is hollow, at the value of the epoch that it had reached.
    """
    trials = [t for t in standing.trials.values() if t.value is not None and key in t.settings]
    if not trials:
        return
    log = key in opened.log_keys
    bins = binned([trial.settings[key] for trial in trials], log=log)
    metric = in_words(opened.metric)
    figure, axes = new_axes(f"{metric} by {key}", key, f"{metric} (%)")
    places = bins.places([trial.settings[key] for trial in trials])
    for state in dict.fromkeys(trial.state for trial in trials):
        chosen = [n for n, trial in enumerate(trials) if trial.state == state]
        _dots(axes, state, [places[n] for n in chosen], [trials[n] for n in chosen])
    scale_to(axes, bins, log=log)
    legend_below(figure, axes)
    heads = ("trial", key, opened.metric, "lowest_seed", "highest_seed", "epoch", "state")
    rows = [(t.name, t.settings[key], t.value, *_span(t), t.epoch, t.state.value) for t in trials]
    yield Drawing(f"value_by_{key}", figure, heads, rows)


def points_by_key(level: Level, opened: Opened, key: str) -> Iterator[Drawing]:
    """Yield a line for each operating point over a key, unless all are best at the same place."""
    trials = [one for one in level.trials if key in one.settings]
    points = list(trials[0].points) if trials else []
    if len(points) < 2:
        return
    log = key in opened.log_keys
    settings = [one.settings[key] for one in trials]
    bins = binned(settings, log=log)
    columns = {point: [one.points[point] for one in trials] for point in points}
    lines = {point: _means(bins, column) for point, column in columns.items()}
    if len({max(line, key=line.__getitem__) for line in lines.values()}) == 1:
        return
    title = f"Operating points by {key}, {after(level)}"
    figure, axes = new_axes(title, key, "metric (%)")
    for point, color in zip(points, itertools.cycle(PALETTE), strict=False):
        axes.scatter(bins.places(settings), columns[point], s=9, color=color, alpha=0.3)
        _line(axes, point, lines[point], color)
    scale_to(axes, bins, log=log)
    legend_below(figure, axes, "dots: trials; lines: their means; star: the best mean")
    rows = [(one.trial, one.settings[key], *one.points.values()) for one in trials]
    yield Drawing(f"points_by_{key}", figure, ("trial", key, *points), rows)


def _dots(axes: Axes, state: TrialState, places: Sequence[float], trials: Sequence[Trial]) -> None:
    color, values = COLORS[state], [trial.value or 0.0 for trial in trials]
    spans = [_span(trial) for trial in trials]
    lowest, highest = [low for low, _ in spans], [high for _, high in spans]
    axes.vlines(places, lowest, highest, color=color, alpha=0.6, linewidth=1.2)
    inside = color if state == TrialState.FINISHED else "none"
    axes.scatter(places, values, s=28, facecolors=inside, edgecolors=color, label=state.value)


def _span(trial: Trial) -> tuple[float, float]:
    """Return the lowest and the highest value of a trial's seeds."""
    values = trial.by_seed or (trial.value or 0.0,)
    return min(values), max(values)


def _means(bins: Bins, values: Sequence[float]) -> dict[float, float]:
    """Return the mean in each bin that has values, by the bin's center."""
    members: dict[int, list[float]] = {}
    for number, value in zip(bins.of, values, strict=True):
        members.setdefault(number, []).append(value)
    return {bins.centers[number]: mean(members[number]) for number in sorted(members)}


def _line(axes: Axes, point: str, line: dict[float, float], color: str) -> None:
    axes.plot(list(line), list(line.values()), color=color, linewidth=1.8, label=point)
    best = max(line, key=line.__getitem__)
    axes.plot([best], [line[best]], "*", color=color, markersize=13, markeredgecolor="white")
