"""The figures of a search for sub-nets, and the tables behind them."""

from collections.abc import Iterator

from orchestrator.drawing import PALETTE, Drawing, legend_below, new_axes
from orchestrator.subnet.search import Found
from orchestrator.track.keys import METRICS


def figures(found: Found) -> Iterator[Drawing]:
    """Yield the sensitivity of each layer, and the results of the best and of random sub-nets."""
    yield _sensitivities(found)
    yield _results(found)


def _sensitivities(found: Found) -> Drawing:
    figure, axes = new_axes("Top eigenvalue of the Hessian", "layer", "eigenvalue", height=5.0)
    axes.bar(range(len(found.sensitivities)), list(found.sensitivities.values()), color=PALETTE[0])
    axes.set_xticks(range(len(found.sensitivities)), list(found.sensitivities), rotation=90)
    axes.tick_params(axis="x", labelsize=6)
    rows = list(found.sensitivities.items())
    return Drawing("sensitivity", figure, ("layer", "eigenvalue"), rows)


def _results(found: Found) -> Drawing:
    name = METRICS[found.metric_name]
    figure, axes = new_axes(f"Sub-nets of {found.total_bits:g} bits", "rank or draw", name)
    for color, kind in zip(PALETTE, ("best", "random"), strict=False):
        values = [one.metric for one in found.of(kind)]  # type: ignore[arg-type]
        axes.plot(range(1, len(values) + 1), values, "o", color=color, label=kind)
        axes.axhline(sum(values) / len(values), color=color, linewidth=0.8)
    legend_below(figure, axes)
    heads = ("subnet", "score", found.metric_name, "loss", *found.sensitivities)
    rows = [(o.name, o.score, o.metric, o.loss, *o.precisions) for o in found.subnets]
    return Drawing("subnets", figure, heads, rows)
