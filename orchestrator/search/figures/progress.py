"""Figures over time: the best value so far, and the life of each trial."""

from matplotlib.patches import Rectangle

from orchestrator.drawing import PALETTE, Drawing, legend_below, new_axes
from orchestrator.search.figures.axes import COLORS
from orchestrator.search.objective import in_words
from orchestrator.search.records import Opened
from orchestrator.search.standing import Standing

MOST_NAMED = 60
"""Up to so many lives are each named and have their last epoch at their end."""

EVERY = 20
"""So many of more lives are named."""

UNITS = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


def best_by_hours(standing: Standing, opened: Opened) -> Drawing:
    """Return the best finished trial so far over the time that all workers took together."""
    end = standing.worker_seconds(standing.time)
    unit, seconds = _unit(end)
    metric = in_words(opened.metric)
    figure, axes = new_axes(f"Best so far: {metric}", f"worker-{unit}", f"{metric} (%)")
    spent = [best.worker_seconds / seconds for best in standing.curve]
    values = [best.value for best in standing.curve]
    axes.step([*spent, end / seconds], [*values, values[-1]], where="post", color=PALETTE[0])
    axes.plot(spent, values, "o", color=PALETTE[0], markersize=5)
    for place, best in zip(spent, standing.curve, strict=True):
        axes.annotate(
            best.trial, (place, best.value), (4, -11), textcoords="offset points", fontsize=8
        )
    axes.set_xlim(left=0)
    axes.margins(y=0.15)
    rows = [(best.worker_seconds / 3600, best.trial, best.value) for best in standing.curve]
    return Drawing("best_by_hours", figure, ("worker_hours", "trial", opened.metric), rows)


def lives(standing: Standing) -> Drawing:
    """Return a bar for each time that a trial was with workers, in the color of its state."""
    trials = [trial for trial in standing.trials.values() if trial.stretches]
    start = min((s.began for trial in trials for s in trial.stretches), default=0.0)
    end = max((s.left for trial in trials for s in trial.stretches), default=0.0)
    unit, seconds = _unit(end - start)
    named = len(trials) <= MOST_NAMED
    height = 1.2 + (0.17 if named else 0.05) * len(trials)
    figure, axes = new_axes("Trials", unit, "", height=min(max(height, 2.2), 12.0))
    for number, trial in enumerate(trials):
        spans = [
            ((s.began - start) / seconds, (s.left - s.began) / seconds) for s in trial.stretches
        ]
        axes.broken_barh(spans, (number - 0.38, 0.76), color=COLORS[trial.state])
        if named:
            last = max(left + length for left, length in spans)
            axes.text(last, number, f" {trial.epoch}", va="center", fontsize=7)
    shown = range(0, len(trials), 1 if named else len(trials) // EVERY)
    axes.set_yticks(shown, [trials[number].name for number in shown])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    states = [state for state in COLORS if any(trial.state == state for trial in trials)]
    for state in states:
        axes.add_patch(Rectangle((0, 0), 0, 0, color=COLORS[state], label=state.value))
    legend_below(figure, axes, "at the end: the last epoch" if named else "")
    heads = ("trial", "run", "began", "left", "workers", "state", "epoch")
    rows = [
        (trial.name, s.run, s.began, s.left, s.workers, trial.state.value, trial.epoch)
        for trial in trials
        for s in trial.stretches
    ]
    return Drawing("lives", figure, heads, rows)


def _unit(span: float) -> tuple[str, float]:
    """Return the largest unit of which a time span has two, and its seconds."""
    return next((unit for unit in UNITS if span >= 2 * unit[1]), UNITS[-1])
