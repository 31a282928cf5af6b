"""The linear layer at the end of a network: in float, or with weights of a fixed bit-width."""

from torch import Tensor, nn
from torch.nn import functional as F

from models.precision import FLOAT, LayerPrecision
from models.quantized import values_of
from models.quantizers.base import ActivationQuantizer, WeightQuantizer


class Head(nn.Linear):
    """nn.Linear whose weights are quantized at the same bit-width at every operating point.

    Its inputs are quantized at the precision of the call (AdaBits). Without quantizers it is the
    linear layer of a float network, whose weight a quantizer may still clamp.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        bits: int = FLOAT,
        quantizer: WeightQuantizer | None = None,
        act: ActivationQuantizer | None = None,
    ) -> None:
        super().__init__(in_features, num_classes)
        self.bits = bits
        self.quantizer = quantizer
        self.act = act

    def start_quantizer(self) -> None:
        """Initialize the quantizer's parameters from the present weight."""
        if self.quantizer is not None:
            self.quantizer.start(self.weight)

    def forward(self, inputs: Tensor, at: LayerPrecision) -> Tensor:  # type: ignore[override]
        """Map (batch, in_features) to (batch, num_classes)."""
        values = inputs if self.act is None else values_of(self.act(inputs, at))
        return F.linear(values, self._own_weight(), self.bias)

    def _own_weight(self) -> Tensor:
        if self.quantizer is None:
            return self.weight
        if self.bits == FLOAT:
            return self.quantizer.float_weight(self.weight)
        weight: Tensor = self.quantizer(self.weight, self.bits)
        return weight
