"""The final table of a run: every bit-width beside its reference."""

from dataclasses import dataclass
from typing import Any

from models.bitwidth import name_of
from orchestrator.track import keys
from orchestrator.track.delta_b import ReferenceResults, delta_b

NO_REFERENCE = "No Delta_B: the job names no reference (reference.published or reference.runs)."


@dataclass(frozen=True)
class Result:
    """What a run reached, by bit-width, on the evaluation set.

    metric_name: "top1" or "map"; metric: per cent; loss: mean cross-entropy; epoch: 0-based, of
    the weights that were judged.
    """

    metric_name: str
    epoch: int
    metric: dict[int, float]
    loss: dict[int, float]
    reference: ReferenceResults | None = None

    @property
    def delta_b(self) -> float | None:
        """Delta_B in per cent, or None without a usable reference."""
        return None if self._obstacle() else delta_b(self.metric, self._individual())

    @property
    def note(self) -> str:
        """Say what Delta_B was compared with, or why there is none."""
        obstacle = self._obstacle()
        if obstacle or self.reference is None:
            return obstacle
        return f"Delta_B against {self.reference.source}."

    def rows(self) -> list[dict[str, Any]]:
        """Return one plain row a bit-width, high to low."""
        individual = {} if self._obstacle() else self._individual()
        return [
            {
                "bits": bits,
                "metric": value,
                "loss": self.loss[bits],
                "reference": individual.get(bits),
                "ratio": 100 * value / individual[bits] if bits in individual else None,
            }
            for bits, value in sorted(self.metric.items(), reverse=True)
        ]

    def markdown(self) -> str:
        """Return the table and the sentence about Delta_B as Markdown."""
        lines = [
            f"| bit-width | {keys.METRICS[self.metric_name]} | loss | reference | ratio (%) |",
            "|---:|---:|---:|---:|---:|",
        ]
        for row in self.rows():
            reference = "-" if row["reference"] is None else f"{row['reference']:.1f}"
            ratio = "-" if row["ratio"] is None else f"{row['ratio']:.1f}"
            lines.append(
                f"| {name_of(row['bits'])} | {row['metric']:.2f} | {row['loss']:.4f} "
                f"| {reference} | {ratio} |"
            )
        value = self.delta_b
        sentence = self.note if value is None else f"Delta_B = {value:.2f} %. {self.note}"
        return "\n".join([*lines, "", f"Epoch {self.epoch + 1}. {sentence}"])

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "metric_name": self.metric_name,
            "epoch": self.epoch,
            "rows": self.rows(),
            "delta_b": self.delta_b,
            "delta_b_note": self.note,
            "table": self.markdown(),
        }

    def _individual(self) -> dict[int, float]:
        assert self.reference is not None
        return {bits: self.reference.values[bits] for bits in self.metric}

    def _obstacle(self) -> str:
        """Return why Delta_B cannot be told, or nothing."""
        if self.reference is None:
            return NO_REFERENCE
        if self.reference.metric != self.metric_name:
            return (
                f"No Delta_B: the reference ({self.reference.source}) is {self.reference.metric}, "
                f"this run is judged by {self.metric_name}."
            )
        lacking = [bits for bits in self.metric if not self.reference.values.get(bits)]
        if lacking:
            return (
                f"No Delta_B: the reference ({self.reference.source}) has no result above zero at "
                f"{', '.join(map(keys.label, lacking))}."
            )
        return ""
