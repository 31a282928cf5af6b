"""orch sizes: how large the network of a job is, and how much it computes, at each point."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import job_file
from orchestrator.cli.completion import complete_job_file
from orchestrator.cli.numbers import Finite
from orchestrator.cli.output import answer, answer_json, make_folder, print_table, say
from orchestrator.errors import UsageError
from orchestrator.typed_json import plain

if TYPE_CHECKING:
    from models.precision import OperatingPoint
    from orchestrator.job.schema import Job

COLUMNS = ("POINT", "SIZE (MiB)", "BITOPS (1e9)", "C_SIZE (1e6 bits)", "WIDTH")
ADAPTIVE = "adaptive"
"""The row of one network for all points: the weights of the highest, batch norm of each."""

MOST_CLASSES = 10**9
"""Of the linear layer; with more its numbers no longer fit the widest network's integers."""


@dataclass(frozen=True)
class Row:
    """A network at one point, or for all of them; then it has no number of BitOPs of its own.

    width: the multiplier with which C_size comes nearest to the reference, if one is given.
    """

    point: str
    size_mib: float
    bitops: int | None
    c_size: int
    width: float | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """Its numbers in the units of the papers' tables."""
        bitops = "-" if self.bitops is None else _short(self.bitops / 1e9)
        width = "-" if self.width is None else f"{self.width:.3f}"
        return self.point, _short(self.size_mib), bitops, _short(self.c_size / 1e6), width


@click.command()
@click.argument("job_name", metavar="FILE|JOB", shell_complete=complete_job_file)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting.")
@click.option(
    "--image-size", type=click.IntRange(8, 4096), metavar="N",
    help="Height and width of the images; the data set's own if not given.",
)  # fmt: skip
@click.option(
    "--classes", type=click.IntRange(1, MOST_CLASSES), metavar="N",
    help="Number of classes; that of the published data set if not given.",
)  # fmt: skip
@click.option(
    "--c-size", type=Finite(min=0, min_open=True), metavar="BITS",
    help="Find the model.width at which each point has this C_size, in 1e6 bits (OneWeight).",
)  # fmt: skip
@click.option(
    "--plot",
    type=click.Path(dir_okay=False),
    metavar="FILE.png",
    help="Draw size against BitOPs; FILE.csv has the numbers.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def sizes(
    job_name: str,
    overrides: tuple[str, ...],
    image_size: int | None,
    classes: int | None,
    c_size: float | None,
    plot: str | None,
    as_json: bool,
) -> None:
    """Print size, BitOPs and C_size of a job's network at each operating point, and in floats.

    Sizes are counted as AdaBits counts them: weights, and batch norm's weights and biases; the row
    `adaptive` is the network that runs at every point. Nothing is read but the job.

    \b
    Examples:
      orch sizes jobs/imagenet_r18.yaml
      orch sizes jobs/cifar10_mbv2.yaml --set model.width=0.5 --json
      orch sizes last --plot sizes.png
    """
    from orchestrator.data import published_form

    job = job_file.job_of(job_name, overrides)
    own_classes, own_size = published_form(job.data)
    classes, image_size = classes or own_classes, image_size or own_size
    rows = _rows(job, classes, image_size, c_size)
    if plot is not None:
        _draw(job.name, rows, Path(plot))
    if as_json:
        about = {"name": job.name, "classes": classes, "image_size": image_size}
        answer_json(about | {"points": plain(rows)})
        return
    columns = COLUMNS if c_size else COLUMNS[:-1]
    print_table(columns, (row.cells[: len(columns)] for row in rows), right=columns[1:])
    answer(f"{job.model.name}, {classes} classes, inputs of {image_size}x{image_size}")


def _rows(job: "Job", classes: int, image_size: int, c_size: float | None) -> list[Row]:
    """Return a row in floats, one for each point, and one for all of them if there are several."""
    import torch

    from models.complexity import MIB, Ends, adaptive_bytes, anatomy_of, most_of
    from models.precision import FLOAT, OperatingPoint
    from orchestrator.prepare.build import build_network

    in_floats = OperatingPoint.at(FLOAT)
    anatomy = anatomy_of(job.model, classes, image_size)
    ends = Ends(job.quantizer.stem_bits, job.quantizer.head_bits)
    rows = []
    for point in dict.fromkeys((in_floats, *job.points)):
        found = anatomy.at(point, ends)
        width = None
        if c_size is not None and point in job.points:
            width = _width(job, classes, point, round(c_size * 1e6))
        rows.append(Row(point.name, found.size_mib, found.bitops, found.c_size, width))
    stored = _stored(job)
    if len(stored) < 2:
        return rows
    with torch.device("meta"):
        network = build_network(job, classes, stored)
    highest = anatomy.at(most_of(stored, anatomy), ends)
    size = adaptive_bytes(highest, anatomy, network) / MIB
    return [*rows, Row(ADAPTIVE, size, None, highest.c_size)]


def _stored(job: "Job") -> "list[OperatingPoint]":
    """Return the points of the network that is stored in the end, high to low.

    An earlier phase that trains float weights (stage 1 of Bit-Mixer) leaves none of its own.
    """
    from models.precision import FLOAT

    last = job.phase_jobs()[-1].points
    return [one for one in job.points if one in last or one.precision.weights != FLOAT]


def _width(job: "Job", classes: int, point: "OperatingPoint", reference: int) -> float:
    """Return the multiplier at which a point's C_size is nearest to the reference."""
    from models.complexity import Ends, width_for

    ends = Ends(job.quantizer.stem_bits, job.quantizer.head_bits)
    try:
        return width_for(reference, job.model, classes, point, ends)
    except ValueError as error:
        raise UsageError(f"--c-size cannot be reached at {point.name}: {error}") from error


def _short(number: float) -> str:
    """Return a number with two decimals, or with two digits where these would say little."""
    return f"{number:.2f}" if number >= 0.1 else f"{number:.2g}"


def _draw(name: str, rows: Sequence[Row], path: Path) -> None:
    """Write a figure of the points as FILE.png, and its data beside it as FILE.csv."""
    from orchestrator.drawing import Drawing, in_logarithm, new_axes

    if path.suffix != ".png":
        raise UsageError(f"--plot {path}: the name of a figure ends in .png")
    figure, axes = new_axes(name, "BitOPs (1e9)", "size (MiB)")
    shown = [(row.point, row.bitops / 1e9, row.size_mib) for row in rows if row.bitops is not None]
    in_logarithm(axes.xaxis, axes.yaxis)
    axes.plot([bitops for _, bitops, _ in shown], [size for *_, size in shown], "o-")
    for point, bitops, size in shown:
        axes.annotate(point, (bitops, size), xytext=(5, -9), textcoords="offset points", size=8)
    make_folder(path.parent)
    Drawing(path.stem, figure, ("point", "bitops_1e9", "size_mib"), shown).write(path.parent)
    say(f"Written: {path} and .csv")
