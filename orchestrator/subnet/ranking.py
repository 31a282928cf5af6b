"""Which bit-widths of the layers fit a budget: the best ones by sensitivity, or any at random.

Bits and sensitivities are added up as fractions: the ranking is exact, and so are its ties.
"""

import random
from collections.abc import Sequence
from fractions import Fraction
from math import floor
from typing import NamedTuple

Bits = tuple[float, ...]
"""The bits of each layer."""


class Ranked(NamedTuple):
    """An assignment and its score, sum over layers of bits times sensitivity."""

    bits: Bits
    score: float


def budget(layers: int, average: float, choices: Sequence[float]) -> float:
    """Return the bits of all layers together: floor(N average + 1/2).

    Counted in half bits when a layer can have half a bit, such as the 1.5 of w1a2.
    """
    parts = 1 if all(float(bits).is_integer() for bits in choices) else 2
    return floor(parts * layers * Fraction(str(average)) + Fraction(1, 2)) / parts


def best_assignments(
    sensitivities: Sequence[float], choices: Sequence[float], total: float, count: int
) -> list[Ranked]:
    """Return the `count` assignments with the largest scores among those of `total` bits.

    Sensitive layers get the bits; of equal scores, the one with more bits in later layers is first.
    Dynamic programming over layers and bits used: for each it keeps the best beginnings.
    """
    beginnings: dict[Fraction, list[_Scored]] = {Fraction(0): [_Scored(Fraction(0), ())]}
    for sensitivity in map(Fraction, sensitivities):
        longer: dict[Fraction, list[_Scored]] = {}
        for used, best in beginnings.items():
            for bits in map(Fraction, choices):
                gain = bits * sensitivity
                more = (_Scored(one.score + gain, (bits, *one.backwards)) for one in best)
                longer.setdefault(used + bits, []).extend(more)
        beginnings = {used: sorted(own, reverse=True)[:count] for used, own in longer.items()}
    return [
        Ranked(tuple(map(float, one.backwards[::-1])), float(one.score))
        for one in beginnings.get(Fraction(total), [])
    ]


def random_assignments(
    layers: int, choices: Sequence[float], total: float, count: int, seed: int
) -> list[Bits]:
    """Return assignments of `total` bits, each equally likely, drawn with replacement."""
    exact = [Fraction(bits) for bits in choices]
    ways = _ways(layers, exact)
    if not ways[layers].get(Fraction(total)):
        return []
    generator = random.Random(seed)
    return [_drawn(ways, exact, Fraction(total), generator) for _ in range(count)]


def reachable(layers: int, choices: Sequence[float]) -> list[float]:
    """Return the bits that all layers together can have, from few to many."""
    return sorted(map(float, _ways(layers, [Fraction(bits) for bits in choices])[layers]))


class _Scored(NamedTuple):
    """A beginning of an assignment, last layer first; the larger one is the better one."""

    score: Fraction
    backwards: tuple[Fraction, ...]


def _ways(layers: int, choices: Sequence[Fraction]) -> list[dict[Fraction, int]]:
    """Return, for each number of layers, how many assignments use so many bits."""
    ways = [{Fraction(0): 1}]
    for _ in range(layers):
        more: dict[Fraction, int] = {}
        for used, number in ways[-1].items():
            for bits in choices:
                more[used + bits] = more.get(used + bits, 0) + number
        ways.append(more)
    return ways


def _drawn(
    ways: Sequence[dict[Fraction, int]],
    choices: Sequence[Fraction],
    left: Fraction,
    generator: random.Random,
) -> Bits:
    """Draw layer by layer, each choice as often as there are assignments that begin with it."""
    drawn: list[float] = []
    for following in ways[-2::-1]:
        weights = [following.get(left - bits, 0) for bits in choices]
        (bits,) = generator.choices(choices, weights)
        drawn.append(float(bits))
        left -= bits
    return tuple(drawn)
