"""Delta_B: the mean ratio of one network at its operating points to individually trained ones."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.published import published_rows


@dataclass(frozen=True)
class ReferenceResults:
    """Individual results in percent by operating point, and a description of their source."""

    source: str
    metric: str
    values: dict[str, float]


def delta_b(measured: Mapping[str, float], individual: Mapping[str, float]) -> float:
    """Return 100/|B| * sum over b in B of measured_b / individual_b, in percent (CoQuant).

    Raises ValueError when a point has no individual result, or a result of zero.
    """
    lacking = [point for point in measured if not individual.get(point)]
    if lacking:
        raise ValueError(f"no individual result above zero at {', '.join(lacking)}")
    return 100.0 * sum(measured[p] / individual[p] for p in measured) / len(measured)


def published_reference(name: str) -> ReferenceResults:
    """Return a published row. Raises KeyError for a name that is not in the tables."""
    row = published_rows()[name]
    return ReferenceResults(f"published: {row.source}", row.metric, row.values)
