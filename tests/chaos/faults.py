"""What goes wrong in a run, drawn by a seed."""

import random
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "worker killed",
    "worker frozen",
    "node killed",
    "driver killed",
    "server away",
    "storage troubled",
]

WEIGHTS: dict[Kind, int] = {
    "worker killed": 4,
    "worker frozen": 1,
    "node killed": 3,
    "driver killed": 3,
    "server away": 4,
    "storage troubled": 4,
}
"""How often each is drawn; a frozen worker costs most of a minute each time."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    after: how many steps the run takes first, once it has got over the one before. delay: seconds
    to wait then. rank: of the worker that is hit, or whose node is.
    """

    kind: Kind
    after: int
    delay: float
    rank: int


def drawn(seed: int, *, in_s3: bool) -> list[Fault]:
    """Return two or three faults, in their order. in_s3: the storage is one that can have them."""
    numbers = random.Random(seed)
    weights = {kind: own for kind, own in WEIGHTS.items() if in_s3 or kind != "storage troubled"}
    kinds = numbers.choices([*weights], [*weights.values()], k=numbers.choice((2, 3)))
    return [
        Fault(kind, numbers.randint(1, 4), round(numbers.uniform(0, 0.8), 2), numbers.randint(0, 1))
        for kind in kinds
    ]
