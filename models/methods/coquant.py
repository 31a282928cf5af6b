"""All operating points at once, each taught by a higher one whose blocks it borrows (CoQuant).

    L_b1 = CE(y_b1)        L_b = CE(y_b) + KL(softmax(y_t) || softmax(y_b))      (Eq. 10, 11)

y_b is the output of a forward pass in which some blocks run as the teacher t's.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor
from torch.nn import functional as F

from models.methods.base import Method, Pass, Step
from models.methods.swap import (
    SwapUnit,
    draw_masks,
    keyed_generator,
    own_probabilities,
    ramp,
    swapped_assignment,
)
from models.methods.teacher import (
    choose_teacher,
    distillation_loss,
    mean_entropy,
    teacher_scores,
)
from models.networks.base import AnyBitNetwork
from models.precision import OperatingPoint

DrawMasks = Callable[[Step, OperatingPoint, Sequence[float]], Sequence[bool]]


class CoQuantSettings(
    BaseModel, frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False
):
    """The knobs of CoQuant; its paper's letters in the descriptions."""

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
        "reuse", description="what the teacher already put out, or an extra pass without swap"
    )
    swap_unit: SwapUnit = Field("block", description="what is swapped")
    swap_updates_bn_stats: bool = Field(
        True, description="swapped-in blocks update the teacher's running statistics"
    )
    p1_update: Literal["epoch", "iteration"] = Field(
        "epoch", description="when p1 rises on its way to 1 in the last epoch"
    )


class CoQuant(Method):
    """Collaborative knowledge transfer between the operating points of one network.

    draw_masks: which units are the student's own, from (step, student, probabilities).
    """

    Settings: ClassVar[type[CoQuantSettings]] = CoQuantSettings

    def __init__(
        self,
        settings: CoQuantSettings,
        points: Sequence[OperatingPoint],
        *,
        draw_masks: DrawMasks = draw_masks,
    ) -> None:
        super().__init__(points)
        self.settings = settings
        self._draw_masks = draw_masks

    def losses(
        self, network: AnyBitNetwork, inputs: Tensor, labels: Tensor, step: Step
    ) -> Iterator[Pass]:
        """Yield the loss of each operating point, high to low."""
        outputs: dict[OperatingPoint, Tensor] = {}
        entropy: dict[OperatingPoint, float] = {}
        for point in self.points:
            # The loss is built in a call so that no local of this frame outlives the yield.
            yield self._loss(network, inputs, labels, step, point, outputs, entropy)

    def _loss(
        self,
        network: AnyBitNetwork,
        inputs: Tensor,
        labels: Tensor,
        step: Step,
        point: OperatingPoint,
        outputs: dict[OperatingPoint, Tensor],
        entropy: dict[OperatingPoint, float],
    ) -> Pass:
        if not outputs:
            logits = network(inputs, point)
            outputs[point] = logits.detach()
            return Pass(point.name, F.cross_entropy(logits, labels))
        teacher = self._teacher(network, step, point, outputs, entropy)
        target = self._teacher_logits(network, inputs, teacher, outputs)
        logits = self._student_logits(network, inputs, step, point, teacher)
        outputs[point] = logits.detach()
        loss = F.cross_entropy(logits, labels) + distillation_loss(logits, target)
        return Pass(point.name, loss, teacher.name)

    def _teacher(
        self,
        network: AnyBitNetwork,
        step: Step,
        student: OperatingPoint,
        outputs: dict[OperatingPoint, Tensor],
        entropy: dict[OperatingPoint, float],
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
        distance = {point: _distance(network, point, student) for point in candidates}
        return choose_teacher(teacher_scores(entropy, distance, self.settings.distance_weight))

    def _teacher_logits(
        self,
        network: AnyBitNetwork,
        inputs: Tensor,
        teacher: OperatingPoint,
        outputs: dict[OperatingPoint, Tensor],
    ) -> Tensor:
        """Return what the student learns from; the highest point's own pass was pure."""
        if self.settings.teacher_logits == "reuse" or teacher == self.points[0]:
            return outputs[teacher]
        with torch.no_grad(), network.frozen_statistics():
            logits: Tensor = network(inputs, teacher)
        return logits

    def _student_logits(
        self,
        network: AnyBitNetwork,
        inputs: Tensor,
        step: Step,
        student: OperatingPoint,
        teacher: OperatingPoint,
    ) -> Tensor:
        """Run the student with some of its blocks swapped for the teacher's."""
        unit = self.settings.swap_unit
        num_units = network.num_blocks if unit == "block" else network.num_layers
        p1 = ramp(self.settings.swap_probability, step, self.settings.p1_update)
        own = self._draw_masks(step, student, own_probabilities(p1, num_units))
        assignment = swapped_assignment(student, teacher, own, network.layers_per_block, unit)
        frozen = (
            nullcontext()
            if self.settings.swap_updates_bn_stats
            else network.frozen_statistics(teacher.precision.weights)
        )
        with frozen:
            logits: Tensor = network(inputs, assignment)
        return logits


def _distance(network: AnyBitNetwork, teacher: OperatingPoint, student: OperatingPoint) -> float:
    return network.weight_distance(teacher.precision.weights, student.precision.weights).item()
