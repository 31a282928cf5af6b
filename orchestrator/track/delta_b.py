"""Delta_B: the mean ratio of one network to those trained at one bit-width (CoQuant, Table 1)."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.bitwidth import FLOAT
from orchestrator.published import published_rows


@dataclass(frozen=True)
class ReferenceResults:
    """Individual results in percent by bit-width, and the words that say whose they are."""

    source: str
    metric: str
    values: dict[int, float]


def delta_b(measured: Mapping[int, float], individual: Mapping[int, float]) -> float:
    """Return 100/|B| * sum over b of measured_b / individual_b, in percent.

    Raises ValueError when a bit-width has no individual result, or a result of zero.
    """
    lacking = [bits for bits in measured if not individual.get(bits)]
    if lacking:
        raise ValueError(f"no individual result above zero at {lacking} bits")
    return 100.0 * sum(measured[bits] / individual[bits] for bits in measured) / len(measured)


def published_reference(name: str) -> ReferenceResults:
    """Return a published row. Raises KeyError for a name that is not in the tables."""
    row = published_rows()[name]
    values = {FLOAT if b == "float" else int(b): float(v) for b, v in row["values"].items()}
    return ReferenceResults(f"published: {row['source']}", row["metric"], values)
