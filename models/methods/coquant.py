"""All bit-widths at once, each taught by a higher one whose blocks it borrows (CoQuant, section 3).

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

from models.methods.base import BitLoss, Method, Step
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

DrawMasks = Callable[[Step, int, Sequence[float]], Sequence[bool]]


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
    """Collaborative knowledge transfer between the bit-widths of one network.

    draw_masks: which units are the student's own, from (step, student, probabilities).
    """

    Settings: ClassVar[type[CoQuantSettings]] = CoQuantSettings

    def __init__(
        self,
        settings: CoQuantSettings,
        bit_widths: Sequence[int],
        *,
        draw_masks: DrawMasks = draw_masks,
    ) -> None:
        super().__init__(bit_widths)
        self.settings = settings
        self._draw_masks = draw_masks

    def losses(
        self, network: AnyBitNetwork, inputs: Tensor, labels: Tensor, step: Step
    ) -> Iterator[BitLoss]:
        """Yield the loss of each bit-width, high to low."""
        outputs: dict[int, Tensor] = {}
        entropy: dict[int, float] = {}
        for bits in self.bit_widths:
            # The loss is built in a call so that no local of this frame outlives the yield.
            yield self._loss(network, inputs, labels, step, bits, outputs, entropy)

    def _loss(
        self,
        network: AnyBitNetwork,
        inputs: Tensor,
        labels: Tensor,
        step: Step,
        bits: int,
        outputs: dict[int, Tensor],
        entropy: dict[int, float],
    ) -> BitLoss:
        if not outputs:
            logits = network(inputs, bits)
            outputs[bits] = logits.detach()
            return BitLoss(bits, F.cross_entropy(logits, labels))
        teacher = self._teacher(network, step, bits, outputs, entropy)
        target = self._teacher_logits(network, inputs, teacher, outputs)
        logits = self._student_logits(network, inputs, step, bits, teacher)
        outputs[bits] = logits.detach()
        loss = F.cross_entropy(logits, labels) + distillation_loss(logits, target)
        return BitLoss(bits, loss, teacher)

    def _teacher(
        self,
        network: AnyBitNetwork,
        step: Step,
        student: int,
        outputs: dict[int, Tensor],
        entropy: dict[int, float],
    ) -> int:
        """Choose among the bit-widths that have run, the same one on every rank."""
        candidates = list(outputs)
        match self.settings.teacher_mode:
            case "highest":
                return candidates[0]
            case "recursive":
                return candidates[-1]
            case "random":
                generator = keyed_generator(step, student, stream=1)
                return candidates[int(torch.randint(len(candidates), (), generator=generator))]
        for bits in candidates:
            if bits not in entropy:
                entropy[bits] = mean_entropy(outputs[bits], step.sum_over_ranks)
        distance = {b: network.weight_distance(b, student).item() for b in candidates}
        return choose_teacher(teacher_scores(entropy, distance, self.settings.distance_weight))

    def _teacher_logits(
        self, network: AnyBitNetwork, inputs: Tensor, teacher: int, outputs: dict[int, Tensor]
    ) -> Tensor:
        """Return what the student learns from; the highest bit-width's own pass was pure."""
        if self.settings.teacher_logits == "reuse" or teacher == self.bit_widths[0]:
            return outputs[teacher]
        with torch.no_grad(), network.frozen_statistics():
            logits: Tensor = network(inputs, teacher)
        return logits

    def _student_logits(
        self, network: AnyBitNetwork, inputs: Tensor, step: Step, student: int, teacher: int
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
            else network.frozen_statistics(teacher)
        )
        with frozen:
            logits: Tensor = network(inputs, assignment)
        return logits
