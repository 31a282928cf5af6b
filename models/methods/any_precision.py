"""Each operating point learns from the next higher one (Yu et al., Any-Precision DNNs, AAAI 2021).

    L_b1 = CE(y_b1)        L_b = CE(y_b) + KL(softmax(y_t) || softmax(y_b)),  t the next higher

The authors' code has no CE(y_b) below the highest point: `labels: highest`. Their soft
cross-entropy has the gradient of KL.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from models.methods.base import Batch, Method, MethodSettings, Pass, Step
from models.methods.teacher import distillation_loss
from models.networks.base import AnyBitNetwork


class AnyPrecisionSettings(MethodSettings, frozen=True):
    """Whether points below the highest also learn from the labels."""

    name: Literal["any_precision"] = "any_precision"
    labels: Literal["all", "highest"] = Field("all", description="points that learn from labels")


class AnyPrecision(Method):
    """Recursive distillation without swaps."""

    Settings: ClassVar[type[AnyPrecisionSettings]] = AnyPrecisionSettings
    settings: AnyPrecisionSettings

    def losses(
        self, network: AnyBitNetwork, batches: Sequence[Batch], step: Step
    ) -> Iterator[Pass]:
        """Yield the loss of each batch at each point, high to low."""
        teacher: str | None = None
        targets: Sequence[Tensor | None] = [None] * len(batches)
        for point in self.points:
            outputs: list[Tensor] = []
            for (inputs, labels), target in zip(batches, targets, strict=True):
                yield Pass(
                    point.name,
                    self._loss(network(inputs, point), labels, target, outputs),
                    teacher,
                )
            teacher, targets = point.name, outputs

    def _loss(
        self, logits: Tensor, labels: Tensor, target: Tensor | None, outputs: list[Tensor]
    ) -> Tensor:
        outputs.append(logits.detach())
        if target is None:
            return F.cross_entropy(logits, labels)
        loss = distillation_loss(logits, target)
        return loss if self.settings.labels == "highest" else F.cross_entropy(logits, labels) + loss
