"""A figure and its data, and what all figures have in common."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.files import write_whole
from orchestrator.search.bins import Bins
from orchestrator.search.level import Level
from orchestrator.search.records import TrialState

WIDTH, HEIGHT = 6.4, 4.2
DOTS_PER_INCH = 130
COLORS = {
    TrialState.FINISHED: "#1f6fb4",
    TrialState.STOPPED_EARLY: "#e8912d",
    TrialState.RUNNING: "#3aa655",
    TrialState.FAILED: "#d03030",
    TrialState.STOPPED: "#7a7a7a",
    TrialState.OUT_OF_BUDGET: "#b5b5b5",
    TrialState.PLANNED: "#dddddd",
}

PALETTE = ("#1f6fb4", "#3aa655", "#e8912d", "#d03030", "#7a4fb5", "#8c6d4f", "#20a0a0", "#555555")


@dataclass(frozen=True)
class Drawing:
    """A figure and the data behind it. name: of its files, without their ending."""

    name: str
    figure: Figure
    heads: tuple[str, ...]
    rows: Sequence[tuple[object, ...]]

    def write(self, folder: Path) -> None:
        """Write NAME.png and NAME.csv. Raises OSError."""
        picture, text = io.BytesIO(), io.StringIO()
        self.figure.savefig(picture, format="png", dpi=DOTS_PER_INCH)
        csv.writer(text, lineterminator="\n").writerows([self.heads, *self.rows])
        write_whole(folder / f"{self.name}.png", picture.getvalue())
        write_whole(folder / f"{self.name}.csv", text.getvalue())


def new_axes(title: str, x: str, y: str, *, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """Return a figure, in inches, and its only axes with their labels."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def scale_to(axes: Axes, bins: Bins, *, log: bool) -> None:
    """Scale the x-axis to a key: in the logarithm with `log`; listed values are each named."""
    if log and not bins.is_even:
        axes.set_xscale("log")
    if bins.is_exact:
        axes.set_xticks(bins.centers, bins.labels)
        axes.minorticks_off()
    if bins.is_even:
        axes.set_xlim(-0.5, len(bins.labels) - 0.5)


def legend_below(figure: Figure, axes: Axes, title: str = "") -> None:
    """Put the legend where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    place = "outside lower center"
    figure.legend(handles, labels, loc=place, ncols=6, fontsize=8, title=title, title_fontsize=8)


def after(level: Level) -> str:
    """Return after which epoch trials are compared: "after epoch 3 (14 trials)"."""
    return f"after epoch {level.epoch} ({len(level.trials)} trials)"
