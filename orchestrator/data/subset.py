"""Which samples remain when a job limits their number."""


def evenly_spread(count: int, limit: int | None) -> list[int]:
    """Return the numbers of at most `limit` of `count` samples, evenly spread; None keeps all.

    They are the middles of equal parts: int((i + 1/2) count / limit).
    """
    kept = min(limit or count, count)
    return [(2 * i + 1) * count // (2 * kept) for i in range(kept)]
