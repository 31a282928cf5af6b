"""How much the mean magnitude of a filter varies between filters (One Weight, Proposition 1).

Of filters of d weights w ~ N(0, sigma^2), with E[|w_i| |w_j|] = rho sigma^2 for two of a filter:

    Var(mean|w|) = sigma^2 / d + (d - 1) rho sigma^2 / d - 2 sigma^2 / pi

Independent weights have rho = 2 / pi, and the variance (1 - 2 / pi) sigma^2 / d. At 1 bit mean|w|
is a filter's scale: that of a depth-wise filter, of few weights, varies most.

The last term is (E|w|)^2 of normal weights. Trained ones are often not normal: their variance is
then above the formula, which can even be negative.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from models.float_file import read_state_dict
from orchestrator.drawing import PALETTE, Drawing, in_logarithm, legend_below, new_axes
from orchestrator.errors import UsageError

SHAPES = ((1, 3, 3), (4, 3, 3), (16, 3, 3), (1, 6, 6), (1, 12, 12))
"""Channels, height and width of One Weight's filters (Figures 5 and 6)."""


@dataclass(frozen=True)
class Spread:
    """The variance of mean|w| over filters, as a share of sigma^2.

    name: of the layer, or the filters' shape. d: weights of a filter. rho: as measured.
    measured: the variance itself. proposition: by the formula and rho. independent: if the weights
    were independent.
    """

    name: str
    filters: int
    d: int
    rho: float
    measured: float
    proposition: float
    independent: float


def drawn_filters(filters: int, *, seed: int, correlation: float = 0.0) -> dict[str, Tensor]:
    """Return normal filters of all SHAPES by their names, in float64.

    correlation: of any two weights of a filter, in [0, 1].
    """
    generator = torch.Generator().manual_seed(seed)
    own, common = math.sqrt(1 - correlation), math.sqrt(correlation)
    drawn: dict[str, Tensor] = {}
    for shape in SHAPES:
        weights = torch.randn(filters, *shape, generator=generator, dtype=torch.float64)
        shared = torch.randn(filters, 1, 1, 1, generator=generator, dtype=torch.float64)
        drawn["x".join(map(str, shape))] = own * weights + common * shared
    return drawn


def stored_filters(file: Path) -> dict[str, Tensor]:
    """Return the convolutions of a stored network by layer, in float64.

    Those of one weight in each filter are left out, and those of which all weights are 0. Raises
    UsageError, in one line, for a file without any others, or with weights that are not finite,
    real floating-point numbers.
    """
    try:
        tensors = read_state_dict(file)
    except ValueError as error:
        raise UsageError(str(error)) from error
    convolutions = {
        name: value
        for name, value in tensors.items()
        if value.dim() == 4 and len(value) > 1 and value.shape[1:].numel() > 1
    }
    for name, value in convolutions.items():
        if kind := _not_numbers(value):
            raise UsageError(
                f"{file}: {name} is a tensor of {kind}; expected are dense, real floating-point "
                "weights."
            )
    found = {
        name.removesuffix(".weight"): weights
        for name, weights in ((name, value.double()) for name, value in convolutions.items())
        if weights.any()
    }
    if not found:
        raise UsageError(
            f"{file} holds no convolution (filters, channels, height, width) with weights unlike 0."
        )
    if broken := [name for name, value in found.items() if not value.isfinite().all()]:
        raise UsageError(f"{file}: weights of {', '.join(broken)} are not finite.")
    return found


def _not_numbers(tensor: Tensor) -> str:
    """Return what a tensor holds instead of dense, real floating-point numbers, if it does."""
    if tensor.is_meta:
        return "no values (meta)"
    if tensor.layout != torch.strided:
        return str(tensor.layout).removeprefix("torch.")
    return "" if tensor.is_floating_point() else str(tensor.dtype).removeprefix("torch.")


def spread(name: str, weights: Tensor) -> Spread:
    """Measure filters (filters, channels, height, width) of more than one weight each."""
    sizes = weights.abs().flatten(1)
    sizes = sizes / sizes.max()  # all below are shares of sigma^2; squares overflow
    filters, d = sizes.shape
    power = float(sizes.square().mean())
    pairs = float((sizes.sum(1).square() - sizes.square().sum(1)).mean()) / (d * (d - 1))
    rho = pairs / power
    return Spread(
        name=name,
        filters=filters,
        d=d,
        rho=rho,
        measured=float(sizes.mean(1).var(correction=0)) / power,
        proposition=1 / d + (d - 1) * rho / d - 2 / math.pi,
        independent=independent(d),
    )


def independent(d: int) -> float:
    """Return the variance of mean|w| over sigma^2 for d independent normal weights."""
    return (1 - 2 / math.pi) / d


def drawing(spreads: Sequence[Spread]) -> Drawing:
    """Return the variance over the number of weights, beside that of independent weights."""
    title = "Variance of mean|w| between filters (One Weight, Proposition 1)"
    figure, axes = new_axes(title, "weights of a filter (d)", "Var(mean|w|) / sigma^2")
    sizes = sorted({one.d for one in spreads})
    label = "independent: (1 - 2/pi) / d"
    axes.plot(sizes, [independent(d) for d in sizes], color=PALETTE[7], label=label)
    found = [one.measured for one in spreads]
    axes.scatter([one.d for one in spreads], found, s=24, color=PALETTE[0], label="measured")
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(d) for d in sizes])
    axes.minorticks_off()
    in_logarithm(axes.yaxis)
    legend_below(figure, axes)
    heads = ("name", "filters", "d", "rho", "measured", "proposition", "independent")
    rows = [tuple(getattr(one, head) for head in heads) for one in spreads]
    return Drawing("filter_variance", figure, heads, rows)
