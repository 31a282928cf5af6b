"""The final table of a run: every operating point beside its reference."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.track import keys

if TYPE_CHECKING:
    from orchestrator.track.delta_b import ReferenceResults

NO_REFERENCE = "No Delta_B: the job names no reference (reference.published or reference.runs)."

ZERO_SHOT = "zero-shot"
EARLIER_PHASE = "earlier phase"
CALIBRATED = {
    ZERO_SHOT: "Zero-shot: not trained at this bit-width, batch norm calibrated; not in Delta_B.",
    EARLIER_PHASE: "Earlier phase: trained at this bit-width before the last phase, batch norm "
    "calibrated with the final weights.",
}
"""What a row is called whose point the last phase did not train, and what that means."""


class PointResult(NamedTuple):
    """What a run reached at one operating point, on the evaluation set.

    metric: in percent. loss: mean cross-entropy. reference: of a network that was trained at
    this point alone, in percent; ratio: of the metric to it, in percent. calibrated: ZERO_SHOT or
    EARLIER_PHASE for a point at which only batch norm was calibrated at the end; a zero-shot one
    does not count in Delta_B. spread: of the metric of several passes at random precisions, as
    standard deviation; their mean does not count either.
    """

    point: str
    metric: float
    loss: float
    reference: float | None = None
    ratio: float | None = None
    calibrated: str | None = None
    spread: float | None = None

    @property
    def in_delta_b(self) -> bool:
        """Whether the point counts in Delta_B."""
        return self.calibrated != ZERO_SHOT and self.spread is None


@dataclass(frozen=True)
class Result:
    """What a run reached at its operating points, high to low.

    metric_name: "top1" or "map". epoch: 0-based, of the weights that were judged; step: how many
    optimizer steps of the run they had seen. delta_b: in percent, None without a usable reference.
    note: what the results were compared with, or why there is no Delta_B. classes: of a mean over
    classes, how many have positives in the evaluation set, and how many there are; those without
    count as 0 in it.
    """

    metric_name: str
    epoch: int
    step: int
    rows: tuple[PointResult, ...]
    delta_b: float | None = None
    note: str = NO_REFERENCE
    classes: tuple[int, int] | None = None

    @property
    def metric(self) -> dict[str, float]:
        """The metric by operating point, in percent."""
        return {row.point: row.metric for row in self.rows}

    def beside(self, reference: "ReferenceResults | None") -> "Result":
        """Return the result with its reference, and with Delta_B if that can be computed."""
        trained = {row.point: row.metric for row in self.rows if row.in_delta_b}
        obstacle = _obstacle(self.metric_name, trained, reference)
        if obstacle or reference is None:
            return replace(self, note=obstacle)
        from orchestrator.track.delta_b import delta_b  # commands that only read results load less

        return replace(
            self,
            rows=tuple(_beside(row, reference.values.get(row.point)) for row in self.rows),
            delta_b=delta_b(trained, reference.values),
            note=f"Delta_B against {reference.source}.",
        )

    def markdown(self) -> str:
        """Return the table and the sentence about Delta_B as Markdown.

        Where classes have no positives, the mean over the others stands beside that over all.
        """
        heads = ["point", keys.METRICS[self.metric_name], "loss", "reference", "ratio (%)"]
        rows = [_cells(row) for row in self.rows]
        positives, classes = self.classes or (0, 0)
        if positives < classes:
            heads.insert(2, f"over {positives} classes")
            for cells, row in zip(rows, self.rows, strict=True):
                cells.insert(2, f"{row.metric * classes / positives:.2f}" if positives else "-")
        lines = [_line(heads), "|" + "---:|" * len(heads), *map(_line, rows)]
        value = self.delta_b
        sentence = self.note if value is None else f"Delta_B = {value:.2f} %. {self.note}"
        marks = {row.calibrated for row in self.rows}
        sentence += "".join(f" {meaning}" for mark, meaning in CALIBRATED.items() if mark in marks)
        if positives < classes:
            sentence += (
                f" Only {positives} of {classes} classes have positives in the evaluation set; the "
                "others count as 0."
            )
        return "\n".join([*lines, "", f"Epoch {self.epoch + 1}. {sentence}"])


def _beside(row: PointResult, reference: float | None) -> PointResult:
    if not reference:
        return row
    return row._replace(reference=reference, ratio=100 * row.metric / reference)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: PointResult) -> list[str]:
    reference = "-" if row.reference is None else f"{row.reference:.1f}"
    ratio = "-" if row.ratio is None else f"{row.ratio:.1f}"
    point = f"{row.point} ({row.calibrated})" if row.calibrated else row.point
    metric = f"{row.metric:.2f}" + ("" if row.spread is None else f" ± {row.spread:.2f}")
    return [point, metric, f"{row.loss:.4f}", reference, ratio]


def _obstacle(
    metric_name: str, trained: dict[str, float], reference: "ReferenceResults | None"
) -> str:
    """Return why there is no Delta_B, or nothing."""
    if reference is None:
        return NO_REFERENCE
    if reference.metric != metric_name:
        return (
            f"No Delta_B: the reference ({reference.source}) is {reference.metric}, "
            f"this run has {metric_name}."
        )
    lacking = [point for point in trained if not reference.values.get(point)]
    if lacking:
        return (
            f"No Delta_B: the reference ({reference.source}) has no result above zero at "
            f"{', '.join(lacking)}."
        )
    return ""
