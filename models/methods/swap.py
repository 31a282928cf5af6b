"""Choose which blocks of a student are swapped for the teacher's (CoQuant Eq. 8, 9)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from models.bitwidth import Assignment
from models.methods.base import Step
from models.precision import OperatingPoint

SwapUnit = Literal["block", "layer"]


def ramp(initial: float, step: Step, update: Literal["epoch", "iteration"]) -> float:
    """Return p1 at this step: from `initial` in the first epoch to 1 in the last.

    update: raise it from epoch to epoch, or from step to step, to 1 at the start of the last one.
    """
    if step.epoch >= step.epochs - 1:
        return 1.0
    epoch = step.epoch if update == "epoch" else step.progress * step.epochs
    return initial + (1 - initial) * min(1.0, epoch / (step.epochs - 1))


def own_probabilities(p1: float, num_units: int) -> list[float]:
    """Return the chance of each unit to be the student's own: p1 for the first, rising (Eq. 9)."""
    return [min(1.0, (1 + unit / num_units) * p1) for unit in range(num_units)]


def draw_masks(
    step: Step, student: OperatingPoint, probabilities: Sequence[float]
) -> tuple[bool, ...]:
    """Draw for each unit whether the student's own runs.

    Keyed by seed, step and student, so the same on all ranks and after a resume.
    """
    generator = keyed_generator(step, student, stream=0)
    draws = torch.rand(len(probabilities), generator=generator, dtype=torch.float64)
    return tuple((draws < torch.tensor(probabilities, dtype=torch.float64)).tolist())


def keyed_generator(step: Step, student: OperatingPoint, *, stream: int) -> torch.Generator:
    """Return a generator that depends on seed, optimizer step, student and stream only."""
    sequence = np.random.SeedSequence((step.seed, step.index, _number(student), stream))
    return torch.Generator().manual_seed(int(sequence.generate_state(1)[0]))


def _number(point: OperatingPoint) -> int:
    """Return the bit-width of a point that has a single one, else a number made of its name."""
    bits = point.precision.weights
    if point == OperatingPoint.at(bits):
        return bits
    return int.from_bytes(point.name.encode())


def swapped_assignment(
    student: OperatingPoint,
    teacher: OperatingPoint,
    own: Sequence[bool],
    layers_per_block: Sequence[int],
    unit: SwapUnit,
) -> Assignment:
    """Return the student's precision where `own` is true and the teacher's elsewhere.

    own: one for each block, or for each layer inside the blocks.
    """
    bits = student.precision.weights
    chosen = [bits if is_own else teacher.precision.weights for is_own in own]
    if unit == "layer":
        return Assignment(bits, tuple(chosen))
    return Assignment.per_block(bits, chosen, layers_per_block)
