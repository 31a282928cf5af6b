"""A network in which each layer runs at a precision of its own, drawn at random (Bit-Mixer)."""

from collections.abc import Sequence

import numpy as np
import torch

from models.precision import Assignment, Precision

MIXED = "mixed"
"""What a pass is called in which each layer has a precision of its own."""


def generator_of(*key: int) -> torch.Generator:
    """Return a generator that depends on the numbers of its key alone."""
    sequence = np.random.SeedSequence(key)
    return torch.Generator().manual_seed(int(sequence.generate_state(1)[0]))


def draw_assignment(
    precisions: Sequence[Precision], layers: int, generator: torch.Generator
) -> Assignment:
    """Draw the precision of each layer, uniformly and independently of the others.

    What is switched outside all layers follows the first one.
    """
    drawn = torch.randint(len(precisions), (layers,), generator=generator).tolist()
    own = tuple(precisions[number] for number in drawn)
    return Assignment(own[0], own)
