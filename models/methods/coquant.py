"""All operating points at once, each taught by a higher one whose blocks it borrows (CoQuant).

    L_b1 = CE(y_b1)        L_b = CE(y_b) + KL(softmax(y_t) || softmax(y_b))      (Eq. 10, 11)

y_b is the output of a forward pass in which some blocks run as the teacher t's.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from models.methods.base import Batch, Method, MethodSettings, Mistake, Pass, Step
from models.methods.swap import (
    SwapUnit,
    draw_masks,
    keyed_generator,
    own_probabilities,
    ramp,
    swap_units,
    swapped_assignment,
)
from models.methods.teacher import (
    choose_teacher,
    distillation_loss,
    mean_entropy,
    teacher_scores,
)
from models.networks.base import AnyBitNetwork
from models.precision import Assignment, OperatingPoint

Outputs = dict[OperatingPoint, list[Tensor]]
"""The logits of each point that has run in a step, batch by batch."""
_OF_SWAPS = ("swap_unit", "swap_updates_bn_stats", "p1_update")
DrawMasks = Callable[[Step, OperatingPoint, Sequence[float]], Sequence[bool]]


class CoQuantSettings(MethodSettings, frozen=True):
    """The settings of CoQuant; the paper's symbols are in the descriptions."""

    name: Literal["coquant"] = "coquant"
    distance_weight: float = Field(
        1e-3, ge=0, alias="lambda", description="weight of model distance in Eq. 7 (lambda)"
    )
    swap_probability: float = Field(
        0.7,
        ge=0,
        le=1,
        alias="p1",
        description="chance that the first block is the student's own, in the first epoch (p1)",
    )
    teacher_mode: Literal["dynamic", "highest", "recursive", "random"] = Field(
        "dynamic", description="by Eq. 7, the highest, the next higher, or any higher bit-width"
    )
    teacher_logits: Literal["reuse", "clean"] = Field(
        "reuse",
        description="the teacher's output of this step, or that of an extra pass without swaps",
    )
    swap_unit: SwapUnit = Field("block", description="what is swapped")
    swap_updates_bn_stats: bool = Field(
        True, description="swapped-in blocks update the teacher's running statistics"
    )
    p1_update: Literal["epoch", "iteration"] = Field(
        "epoch", description="when p1 rises on its way to 1 in the last epoch"
    )

    def without_effect(self, epochs: int) -> list[Mistake]:
        """Return what the choice of teachers disables, and what a training without swaps does."""
        mode = f"method.teacher_mode is '{self.teacher_mode}'"
        off = [] if self.teacher_mode == "dynamic" else [("method.lambda", mode)]
        if self.teacher_mode == "highest":
            off.append(("method.teacher_logits", f"{mode}, whose output is always without swaps"))
        if epochs == 1:
            reason = "the last epoch swaps nothing, and there is no other"
            off += [(f"method.{key}", reason) for key in ("p1", *_OF_SWAPS)]
        elif self.swap_probability == 1:
            off += [(f"method.{key}", "method.p1 is 1, so nothing is swapped") for key in _OF_SWAPS]
        return off


class CoQuant(Method):
    """Collaborative knowledge transfer between the operating points of one network.

    draw_masks: which units are the student's own, from (step, student, probabilities).
    """

    Settings: ClassVar[type[CoQuantSettings]] = CoQuantSettings
    settings: CoQuantSettings

    def __init__(
        self,
        settings: CoQuantSettings,
        points: Sequence[OperatingPoint],
        *,
        draw_masks: DrawMasks = draw_masks,
    ) -> None:
        super().__init__(settings, points)
        self._draw_masks = draw_masks

    def losses(
        self, network: AnyBitNetwork, batches: Sequence[Batch], step: Step
    ) -> Iterator[Pass]:
        """Yield the losses of each operating point, high to low."""
        highest, *students = self.points
        outputs: Outputs = {highest: []}
        entropy: dict[OperatingPoint, Tensor] = {}
        # Each loss is built in a call so that no local of this frame outlives the yield.
        for batch in batches:
            yield self._alone(network, batch, highest, outputs)
        for student in students:
            teacher = self._teacher(network, step, student, outputs, entropy)
            swapped = self._swapped(network, step, student, teacher)
            outputs[student] = []
            for batch in batches:
                yield self._taught(network, batch, swapped, outputs)

    def _alone(
        self, network: AnyBitNetwork, batch: Batch, point: OperatingPoint, outputs: Outputs
    ) -> Pass:
        logits = network(batch.inputs, point)
        outputs[point].append(logits.detach())
        return Pass(point.name, F.cross_entropy(logits, batch.labels))

    def _taught(
        self, network: AnyBitNetwork, batch: Batch, swapped: "_Swapped", outputs: Outputs
    ) -> Pass:
        target = self._teacher_logits(network, batch, swapped, outputs)
        logits = self._student_logits(network, batch, swapped)
        outputs[swapped.student].append(logits.detach())
        loss = F.cross_entropy(logits, batch.labels) + distillation_loss(logits, target)
        return Pass(swapped.student.name, loss, swapped.teacher.name)

    def _teacher(
        self,
        network: AnyBitNetwork,
        step: Step,
        student: OperatingPoint,
        outputs: Outputs,
        entropy: dict[OperatingPoint, Tensor],
    ) -> OperatingPoint:
        """Choose among the points that have run, the same one on every rank."""
        candidates = list(outputs)
        match self.settings.teacher_mode:
            case "highest":
                return candidates[0]
            case "recursive":
                return candidates[-1]
            case "random":
                generator = keyed_generator(step, student, stream=1)
                return candidates[int(torch.randint(len(candidates), (), generator=generator))]
        for point in candidates:
            if point not in entropy:
                entropy[point] = mean_entropy(outputs[point], step.sum_over_ranks)
        distance = [network.weight_distance(point, student) for point in candidates]
        # Everything is fetched at once: each read of a value waits for the device.
        both = torch.stack([torch.stack(list(entropy.values())), torch.stack(distance)])
        entropies, distances = (dict(zip(candidates, row, strict=True)) for row in both.tolist())
        return choose_teacher(teacher_scores(entropies, distances, self.settings.distance_weight))

    def _teacher_logits(
        self, network: AnyBitNetwork, batch: Batch, swapped: "_Swapped", outputs: Outputs
    ) -> Tensor:
        """Return what the student learns from; the highest point's own pass was pure."""
        teacher = swapped.teacher
        if self.settings.teacher_logits == "reuse" or teacher == self.points[0]:
            return outputs[teacher][len(outputs[swapped.student])]
        with torch.no_grad(), network.frozen_statistics():
            logits: Tensor = network(batch.inputs, teacher)
        return logits

    def _swapped(
        self, network: AnyBitNetwork, step: Step, student: OperatingPoint, teacher: OperatingPoint
    ) -> "_Swapped":
        """Swap some of the student's blocks for the teacher's."""
        units = swap_units(network.quantized_layers, self.settings.swap_unit)
        num_units = len({unit for unit in units if unit is not None})
        p1 = ramp(self.settings.swap_probability, step, self.settings.p1_update)
        own = self._draw_masks(step, student, own_probabilities(p1, num_units))
        low, high = network.assignment(student), network.assignment(teacher)
        assignment = swapped_assignment(low, high, units, own)
        return _Swapped(student, teacher, assignment)

    def _student_logits(self, network: AnyBitNetwork, batch: Batch, swapped: "_Swapped") -> Tensor:
        """Run the student with some of its blocks swapped for the teacher's."""
        frozen = (
            nullcontext()
            if self.settings.swap_updates_bn_stats
            else network.frozen_statistics(swapped.teacher)
        )
        with frozen:
            logits: Tensor = network(batch.inputs, swapped.assignment)
        return logits


class _Swapped(NamedTuple):
    """How a student runs in one step."""

    student: OperatingPoint
    teacher: OperatingPoint
    assignment: Assignment
