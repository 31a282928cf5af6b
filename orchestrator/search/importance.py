"""How much each searched key matters."""

from collections.abc import Collection, Sequence

from orchestrator.search.bins import binned
from orchestrator.search.level import Reached
from orchestrator.search.objective import mean


def importance(
    trials: Sequence[Reached], keys: Sequence[str], log_keys: Collection[str]
) -> dict[str, float]:
    """Return which share of the differences between trials each key explains, the largest first.

    It is the correlation ratio of ranks, Pearson's eta^2: the variance of the trials' ranks between
    the bins of a key, as a share of all, less what chance gives so many bins (Kelley's epsilon^2).
    Unlike a rank correlation it sees a best value in the middle, and takes values that are no
    numbers. A key that explains what another one does as well has its share, too.
    """
    found = {key: _share(trials, key, log=key in log_keys) for key in keys}
    return dict(sorted(found.items(), key=lambda one: one[1], reverse=True))


def _share(trials: Sequence[Reached], key: str, *, log: bool) -> float:
    having = sorted((one for one in trials if key in one.settings), key=lambda one: one.value)
    bins = binned([one.settings[key] for one in having], log=log).of
    middle, freedom = (len(having) - 1) / 2, len(having) - len(set(bins))
    members: dict[int, list[float]] = {}
    for rank, number in enumerate(bins):
        members.setdefault(number, []).append(rank - middle)
    between = sum(len(ranks) * mean(ranks) ** 2 for ranks in members.values())
    whole = sum((rank - middle) ** 2 for rank in range(len(having)))
    if not freedom or not whole:
        return 0.0
    return max(0.0, 1 - (1 - between / whole) * (len(having) - 1) / freedom)
