"""A figure and its data, and what all figures have in common.

Figures are objects alone: nothing here is shared by all threads, as pyplot's state is.
"""

import csv
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from orchestrator.files import write_whole

# What the font has not is drawn as a box; once for each letter would be said so.
warnings.filterwarnings("ignore", "Glyph .* missing from", module=r"orchestrator\.|matplotlib\.")

WIDTH, HEIGHT = 6.4, 4.2
DOTS_PER_INCH = 130
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
        for name, content in self.files().items():
            write_whole(folder / name, content)

    def files(self) -> dict[str, bytes]:
        """Return the contents of NAME.png and NAME.csv."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.heads, *self.rows])
        return {
            f"{self.name}.png": as_png(self.figure),
            f"{self.name}.csv": text.getvalue().encode(),
        }


def new_axes(title: str, x: str, y: str, *, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """Return a figure, in inches, and its only axes with their labels."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(which="both", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def contact_sheet(title: str, pictures: Sequence[tuple[np.ndarray, str]], columns: int) -> Figure:
    """Return a figure of pictures in rows, each with its label below; a pixel is one or more dots.

    pictures: of one size, RGB, uint8 (height, width, 3), and their labels.
    """
    height, width = pictures[0][0].shape[:2]
    rows = -(-len(pictures) // columns)
    across = max(1.2, width / DOTS_PER_INCH + 0.1)  # inches of one, at least for its label
    size = (columns * across, rows * (across * height / width + 0.3) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=10)
    places = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes, (pixels, label) in zip(places, pictures, strict=False):
        axes.imshow(pixels)
        axes.set_xlabel(label, fontsize=7, parse_math=False)
    for axes in places:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure


def as_png(figure: Figure) -> bytes:
    """Return a figure as the content of a file."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=DOTS_PER_INCH)
    return picture.getvalue()


class PlainNumbers(LogFormatter):
    """Labels of a logarithmic axis as plain numbers: 6, not 6 x 10^0."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the label of a place on the axis; "" where neighbors leave no room for one."""
        return f"{x:g}" if super().__call__(x, pos) else ""


def in_logarithm(*axes: XAxis | YAxis) -> None:
    """Scale axes, such as `axes.xaxis`, to the logarithm."""
    for axis in axes:
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
        axis.set_major_formatter(PlainNumbers())
        axis.set_minor_formatter(PlainNumbers(minor_thresholds=(2, 0.5)))


def legend_below(figure: Figure, axes: Axes, title: str = "") -> None:
    """Put the legend where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    place = "outside lower center"
    figure.legend(handles, labels, loc=place, ncols=6, fontsize=8, title=title, title_fontsize=8)
