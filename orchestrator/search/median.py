"""The median stopping rule (Golovin et al. 2017, Google Vizier, section 3.2.2)."""

from bisect import insort
from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from orchestrator.job.search import Median as Section
from orchestrator.search.objective import mean, rank


class Median:
    """Stops a trial whose best value is below the median of the running means of the others.

    The others are those that have come as far; the paper takes the completed ones only.
    """

    def __init__(self, section: Section, *, epochs: int, direction: str) -> None:
        self._section = section
        self._direction = direction
        self._ranks: defaultdict[str, list[float]] = defaultdict(list)
        self._means: defaultdict[int, list[float]] = defaultdict(list)
        self.rungs: Sequence[int] = range(section.grace, epochs)

    def verdict(self, trial: str, epoch: int, value: float) -> str:
        """Return that the trial is below the median; nothing if it is not or too few are known."""
        own, others = self._ranks[trial], self._means[epoch]
        own.append(rank(value, self._direction))
        known = median(others) if len(others) >= self._section.least else -float("inf")
        insort(others, mean(own))
        if epoch < self._section.grace or max(own) >= known:
            return ""
        middle = rank(known, self._direction)
        return f"{value:.2f} after epoch {epoch} is worse than the median {middle:.2f} (median)"
