"""orch analyze: what the papers say of quantizers, measured here."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.numbers import SEED, Finite
from orchestrator.cli.output import answer_json, make_folder, print_table, say
from orchestrator.typed_json import Values

if TYPE_CHECKING:
    from orchestrator.drawing import Drawing

_seed = click.option(
    "--seed", type=SEED, default=0, show_default=True, help="Of all that is drawn."
)
_output = click.option(
    "--output",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the figure (PNG) and its numbers (CSV) there.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group()
def analyze() -> None:
    """Measure what the papers say of quantizers; nothing is trained.

    \b
    Examples:
      orch analyze clip-error
      orch analyze filter-variance --output figures
    """


@analyze.command("clip-error")
@click.option(
    "--bits",
    multiple=True,
    type=click.IntRange(1, 8),
    default=(8, 6, 5, 4, 3, 2),
    show_default=True,
    help="Bit-widths of the outputs; may be given several times.",
)
@_seed
@_output
@_json
def clip_error(bits: tuple[int, ...], seed: int, output: Path | None, as_json: bool) -> None:
    """Print the clip level with the smallest error at each bit-width (AdaBits, Figure 5).

    \b
    Examples:
      orch analyze clip-error --bits 4 --bits 2 --seed 3
      orch analyze clip-error --output figures
    """
    from orchestrator.analysis import clip_error as measured

    curves = measured.clip_errors(tuple(dict.fromkeys(bits)), seed=seed)
    columns = ("bits", "best clip level", "relative error")
    rows = [(curve.bits, *curve.best) for curve in curves]
    cells = [(f"{bits}", f"{at:.2f}", f"{error:.5f}") for bits, at, error in rows]
    _end(
        lambda: measured.drawing(curves),
        [asdict(curve) | {"best": curve.best} for curve in curves],
        lambda: print_table(columns, cells, right=columns),
        output=output,
        as_json=as_json,
    )


@analyze.command("filter-variance")
@click.option(
    "--weights",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Measure the convolutions of this network instead of normal filters.",
)
@click.option(
    "--filters",
    type=click.IntRange(2, 1_000_000),
    default=20_000,
    show_default=True,
    help="How many are drawn of each shape.",
)
@click.option(
    "--correlation",
    type=Finite(0, 1),
    default=0.0,
    show_default=True,
    help="Of any two weights of a drawn filter.",
)
@_seed
@_output
@_json
def filter_variance(
    weights: Path | None,
    filters: int,
    correlation: float,
    seed: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Print how much mean|w| varies between filters (One Weight, Proposition 1).

    \b
    Examples:
      orch analyze filter-variance --correlation 0.2
      orch analyze filter-variance --weights resnet20.pt --output figures
    """
    from orchestrator.analysis import filter_variance as measured

    if weights is None:
        found = measured.drawn_filters(filters, seed=seed, correlation=correlation)
    else:
        found = measured.stored_filters(weights)
    spreads = [measured.spread(name, value) for name, value in found.items()]
    numbers = ("filters", "d", "rho", "measured", "proposition", "independent")
    cells = [
        (
            s.name,
            f"{s.filters}",
            f"{s.d}",
            f"{s.rho:.4f}",
            f"{s.measured:.6f}",
            f"{s.proposition:.6f}",
            f"{s.independent:.6f}",
        )
        for s in spreads
    ]
    columns = ("layer" if weights else "filter", *numbers)
    _end(
        lambda: measured.drawing(spreads),
        [asdict(one) for one in spreads],
        lambda: print_table(columns, cells, right=numbers),
        output=output,
        as_json=as_json,
    )


def _end(
    draw: "Callable[[], Drawing]",
    documents: Sequence[Values],
    show: Callable[[], None],
    *,
    output: Path | None,
    as_json: bool,
) -> None:
    """Write a figure and its numbers, where that is wanted; print the numbers.

    show: prints them as a table.
    """
    if output is not None:
        make_folder(output)
        drawing = draw()
        drawing.write(output)
        say(f"Written: {output / drawing.name}.png and .csv")
    if as_json:
        answer_json(documents)
    else:
        show()
