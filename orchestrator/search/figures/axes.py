"""What the figures of searches have in common."""

from matplotlib.axes import Axes

from orchestrator.search.bins import Bins
from orchestrator.search.level import Level
from orchestrator.search.records import TrialState

COLORS = {
    TrialState.FINISHED: "#1f6fb4",
    TrialState.STOPPED_EARLY: "#e8912d",
    TrialState.RUNNING: "#3aa655",
    TrialState.FAILED: "#d03030",
    TrialState.STOPPED: "#7a7a7a",
    TrialState.OUT_OF_BUDGET: "#b5b5b5",
    TrialState.PLANNED: "#dddddd",
}


def scale_to(axes: Axes, bins: Bins, *, log: bool) -> None:
    """Scale the x-axis to a key: in the logarithm with `log`; listed values are each named."""
    if log and not bins.is_even:
        axes.set_xscale("log")
    if bins.is_exact:
        axes.set_xticks(bins.centers, bins.labels)
        axes.minorticks_off()
    if bins.is_even:
        axes.set_xlim(-0.5, len(bins.labels) - 0.5)


def after(level: Level) -> str:
    """Return after which epoch trials are compared: "after epoch 3 (14 trials)"."""
    return f"after epoch {level.epoch} ({len(level.trials)} trials)"
