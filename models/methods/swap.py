"""Choose which blocks of a student are swapped for the teacher's (CoQuant Eq. 8, 9)."""

from collections.abc import Sequence
from typing import Literal

import torch

from models.methods.base import Step
from models.mixed import generator_of
from models.precision import Assignment, LayerInfo, OperatingPoint

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
    return generator_of(step.seed, step.index, _number(student), stream)


def _number(point: OperatingPoint) -> int:
    """Return a point's bit-width, or a number derived from its name if it has several."""
    bits = point.precision.weights
    if point == OperatingPoint.at(bits):
        return bits
    return int.from_bytes(point.name.encode())


def swap_units(layers: Sequence[LayerInfo], unit: SwapUnit) -> tuple[int | None, ...]:
    """Return for each layer the number of the unit with which it is swapped, None for never.

    A shortcut is swapped with its block, or with the first layer of it, whose input it shares.
    """
    if unit == "block":
        return tuple(info.block for info in layers)
    main = [i for i, info in enumerate(layers) if info.block is not None and not _is_shortcut(info)]
    first = {layers[index].block: unit for unit, index in reversed(list(enumerate(main)))}
    number = {index: unit for unit, index in enumerate(main)}
    return tuple(
        first[info.block] if _is_shortcut(info) else number.get(index)
        for index, info in enumerate(layers)
    )


def _is_shortcut(info: LayerInfo) -> bool:
    return info.kind == "shortcut"


def swapped_assignment(
    student: Assignment, teacher: Assignment, units: Sequence[int | None], own: Sequence[bool]
) -> Assignment:
    """Return the student's precision where `own` is true of a layer's unit, else the teacher's.

    units: of each layer; outside all of them the precision is the student's.
    """
    layers = (
        mine if unit is None or own[unit] else theirs
        for mine, theirs, unit in zip(student.layers, teacher.layers, units, strict=True)
    )
    return Assignment(student.outside, tuple(layers))
