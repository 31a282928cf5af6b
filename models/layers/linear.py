"""The linear layer at the end of a network: in float, or with weights of a fixed bit-width."""

from torch import Tensor, nn
from torch.nn import functional as F

from models.precision import FLOAT, LayerPrecision
from models.quantized import values_of
from models.quantizers.base import ActivationQuantizer, WeightQuantizer


class Head(nn.Linear):
    """nn.Linear whose weights are quantized at the same bit-width at every operating point.

    Its inputs are quantized at the precision of the call (AdaBits). Without quantizers
    it is the linear layer of a float network.
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
        if self.quantizer is None or self.act is None:
            return super().forward(inputs)
        return F.linear(
            values_of(self.act(inputs, at)), self.quantizer(self.weight, self.bits), self.bias
        )
