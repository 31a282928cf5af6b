"""Figures that compare searched keys: how much each matters, and two of them together."""

from collections.abc import Iterator, Mapping

from matplotlib.axes import Axes

from orchestrator.drawing import PALETTE, Drawing, new_axes
from orchestrator.search.bins import binned
from orchestrator.search.figures.axes import after
from orchestrator.search.level import Level
from orchestrator.search.objective import in_words, mean
from orchestrator.search.records import Opened


def importance_of_keys(level: Level, shares: Mapping[str, float]) -> Drawing:
    """Return a bar for each key, the longest on top."""
    title = f"Importance: correlation ratio of ranks, {after(level)}"
    height = 1.4 + 0.35 * len(shares)
    label = "share of the differences between trials that the key explains"
    figure, axes = new_axes(title, label, "", height=height)
    axes.barh(list(shares), list(shares.values()), color=PALETTE[0], height=0.6)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    for number, share in enumerate(shares.values()):
        axes.text(share + 0.01, number, f"{share:.2f}", va="center", fontsize=8)
    axes.grid(visible=False, axis="y")
    return Drawing("importance", figure, ("key", "share"), list(shares.items()))


def pair_of_keys(level: Level, opened: Opened, pair: tuple[str, str]) -> Iterator[Drawing]:
    """Yield a heat map of the mean value over two keys, with the number of trials in each cell."""
    trials = [one for one in level.trials if all(key in one.settings for key in pair)]
    across, up = (
        binned([one.settings[key] for one in trials], log=key in opened.log_keys) for key in pair
    )
    if len(across.labels) == 1 or len(up.labels) == 1:
        return
    members: dict[tuple[int, int], list[float]] = {}
    for x, y, one in zip(across.of, up.of, trials, strict=True):
        members.setdefault((x, y), []).append(one.value)
    cells = {place: (mean(values), len(values)) for place, values in sorted(members.items())}
    title = f"{in_words(opened.metric)} (%), averaged over trials, {after(level)}"
    figure, axes = new_axes(title, *pair)
    _heat(axes, cells, (len(across.labels), len(up.labels)))
    axes.set_xticks(range(len(across.labels)), across.labels)
    axes.set_yticks(range(len(up.labels)), up.labels)
    heads = (*pair, opened.metric, "trials")
    rows = [(across.labels[x], up.labels[y], *cell) for (x, y), cell in cells.items()]
    yield Drawing(f"{pair[0]}_and_{pair[1]}", figure, heads, rows)


def _heat(
    axes: Axes, cells: Mapping[tuple[int, int], tuple[float, int]], size: tuple[int, int]
) -> None:
    values = [value for value, _ in cells.values()]
    lowest, highest = min(values), max(values)
    grid = [
        [cells.get((x, y), (float("nan"), 0))[0] for x in range(size[0])] for y in range(size[1])
    ]
    axes.imshow(grid, origin="lower", aspect="auto", cmap="viridis", vmin=lowest, vmax=highest)
    for (x, y), (value, count) in cells.items():
        dark = value < (lowest + highest) / 2
        label = f"{value:.1f}" + (f"\n{count}x" if count > 1 else "")
        color = "white" if dark else "black"
        axes.text(x, y, label, ha="center", va="center", fontsize=8, color=color)
    axes.grid(visible=False)
