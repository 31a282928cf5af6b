"""How the clip level of activations decides the error of quantizing them (AdaBits, Figure 5).

A layer of 1000 inputs x ~ U[0, 1] with weights w ~ N(0, 1/1000) and a ReLU puts out

    y = max(0, sum w x)        error(alpha, b) = |Q_b(y; alpha) - y| / |y|    (Euclidean norms)

Fewer bits have their smallest error at a lower alpha: why AdaBits gives each bit-width its own.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.precision import LayerPrecision, Precision
from models.quantizers import ACTIVATION_QUANTIZERS
from models.quantizers.base import SHARED
from models.table import resolve
from orchestrator.drawing import PALETTE, Drawing, in_logarithm, legend_below, new_axes

INPUTS, FILTERS, SAMPLES = 1000, 1000, 16
"""Of the layer, and how often its inputs are drawn."""

CLIP_LEVELS = tuple(step / 20 for step in range(1, 61))


@dataclass(frozen=True)
class Curve:
    """The relative error at one bit-width over the clip levels."""

    bits: int
    clip_levels: tuple[float, ...]
    errors: tuple[float, ...]

    @property
    def best(self) -> tuple[float, float]:
        """The clip level with the smallest error, and that error."""
        error, level = min(zip(self.errors, self.clip_levels, strict=True))
        return level, error


def clip_errors(
    bit_widths: Sequence[int], *, seed: int, clip_levels: Sequence[float] = CLIP_LEVELS
) -> tuple[Curve, ...]:
    """Return a curve for each bit-width, of the same outputs.

    Raises ValueError for a bit-width that does not exist.
    """
    outputs = layer_outputs(seed)
    return tuple(
        Curve(bits, tuple(clip_levels), tuple(_error(outputs, bits, one) for one in clip_levels))
        for bits in bit_widths
    )


def layer_outputs(seed: int) -> Tensor:
    """Return what the layer puts out before its ReLU: (samples, filters)."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.rand(SAMPLES, INPUTS, generator=generator)
    weights = torch.randn(INPUTS, FILTERS, generator=generator) / INPUTS**0.5
    return torch.mm(inputs, weights)


def _error(outputs: Tensor, bits: int, clip_level: float) -> float:
    kind = resolve(ACTIVATION_QUANTIZERS, "pact")
    quantizer = kind(kind.Settings(clip_init=clip_level), [SHARED], signed=False)
    own = Precision.parse(bits)
    with torch.no_grad():
        quantized = quantizer(outputs, LayerPrecision(own, own))
    exact = outputs.relu()
    return float((quantized - exact).norm() / exact.norm())


def drawing(curves: Sequence[Curve]) -> Drawing:
    """Return a line for each bit-width over the clip level, with a dot at its smallest error."""
    title = "Error of quantized outputs, inputs U[0, 1], weights N(0, 1/1000)"
    figure, axes = new_axes(title, "clip level", "relative error")
    for curve, color in zip(curves, itertools.cycle(PALETTE), strict=False):
        axes.plot(curve.clip_levels, curve.errors, color=color, label=f"{curve.bits} bit")
        axes.plot(*([value] for value in curve.best), "o", color=color, markersize=5)
    in_logarithm(axes.yaxis)
    legend_below(figure, axes, "dot: the smallest error")
    columns = [curve.errors for curve in curves]
    rows = list(zip(curves[0].clip_levels, *columns, strict=True))
    heads = ("clip_level", *(f"{curve.bits}bit" for curve in curves))
    return Drawing("clip_error", figure, heads, rows)
