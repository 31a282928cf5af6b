"""The quantizer section of a job: which quantizers, and the choices the papers leave open."""

from typing import Literal

from pydantic import BaseModel, Field, field_validator

from models.bitwidth import FLOAT, check_bit_widths
from models.quantizers import ACTIVATION_QUANTIZERS, WEIGHT_QUANTIZERS


class QuantizerSettings(BaseModel, frozen=True, extra="forbid"):
    """Quantizers of weights and activations, and where they stand in a network."""

    bit_widths: tuple[int, ...] = Field(
        (8, 6, 4, 2), description="bit-widths of weights and activations, high to low (B)"
    )
    weight_quant: str = Field(
        "coquant_trunc",
        description=f"weight quantizer: {', '.join(WEIGHT_QUANTIZERS)} (CoQuant Eq. 1-5)",
    )
    weight_norm_max_grad: bool = Field(
        True, description="gradient flows through max|tanh W|, as in DoReFa's and AdaBits' code"
    )
    align_domain: Literal["unit", "none"] = Field(
        "unit", description="mean alignment of truncated weights in [0,1] (CoQuant Eq. 5), or none"
    )
    align_scale_in_backward: bool = Field(
        False, description="multiply the alignment factor s_b into the weight gradient"
    )
    act_quant: str = Field(
        "pact", description=f"activation quantizer: {', '.join(ACTIVATION_QUANTIZERS)}"
    )
    pact_grad: Literal["pact", "calibrated"] = Field(
        "pact", description="gradient of the clip level: original PACT, or calibrated (SAT)"
    )
    alpha_floor: float = Field(
        1e-3, gt=0, description="smallest clip level used; its gradient passes unchanged (alpha)"
    )
    signed_act: Literal["symmetric", "relu"] = Field(
        "symmetric", description="inputs that are no ReLU outputs: clip to [-alpha, alpha], or at 0"
    )
    quantize_identity: bool = Field(
        True, description="a ResNet block's identity path carries the quantized input"
    )
    stem_bn_shared: bool = Field(
        True, description="one set of stem batch norm for all bit-widths, or one for each"
    )

    @field_validator("bit_widths")
    @classmethod
    def _descending(cls, bit_widths: tuple[int, ...]) -> tuple[int, ...]:
        if FLOAT in bit_widths:
            raise ValueError("a float network is trained by the method 'float', without bit-widths")
        return check_bit_widths(bit_widths)

    @field_validator("weight_quant")
    @classmethod
    def _known_weight_quantizer(cls, name: str) -> str:
        return _known(name, WEIGHT_QUANTIZERS)

    @field_validator("act_quant")
    @classmethod
    def _known_activation_quantizer(cls, name: str) -> str:
        return _known(name, ACTIVATION_QUANTIZERS)


def _known(name: str, table: dict[str, str]) -> str:
    if name not in table:
        raise ValueError(f"no quantizer is called {name!r}; known are {', '.join(table)}")
    return name
