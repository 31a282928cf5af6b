"""The quantizer section of a job: at which precisions, and by which quantizers."""

import json
import re
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, PlainValidator, field_validator, model_validator

from models.precision import FLOAT, OperatingPoint, Precision, check_high_to_low, cost
from models.quantizers.pact import PactSettings
from models.quantizers.truncated import TruncatedSettings

DEFAULT = "default"
"""The key of an assignment for all layers that it does not name."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


def _as_written(value: object) -> int | str:
    """Return a bit-width as it is usually written: 4, or "w1a4"."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"a bit-width is written 4 or w1a4, not {json.dumps(value)}")
    precision = Precision.parse(value)
    return precision.weights if precision.weights == precision.activations else precision.label


BitWidth = Annotated[int | str, PlainValidator(_as_written)]


class QuantizerSettings(BaseModel, frozen=True, extra="forbid"):
    """Precisions and quantizers; `weights` and `activations` are the settings of the named ones."""

    bit_widths: tuple[BitWidth, ...] = Field(
        (8, 6, 4, 2),
        description="bit-widths of weights and activations, high to low (B); w1a4: 1 and 4",
    )
    assignment: dict[str, dict[str, BitWidth]] = Field(
        {},
        description="further operating points: name -> {layer: bit-width}, and a `default` for "
        "the layers that are not named",
    )
    stem_bits: int = Field(
        FLOAT,
        description="weights of the first convolution, at all bit-widths (AdaBits: 8); 32: float",
    )
    head_bits: int = Field(
        FLOAT,
        description="weights of the linear layer, whose inputs then have the network's bit-width",
    )
    weights: Any = TruncatedSettings()
    activations: Any = PactSettings()

    @property
    def points(self) -> tuple[OperatingPoint, ...]:
        """The operating points, high to low; an assignment stands where its default would."""
        uniform = [OperatingPoint.at(bits) for bits in self.bit_widths]
        assigned = [_point(name, layers) for name, layers in self.assignment.items()]
        return tuple(sorted([*uniform, *assigned], key=lambda p: cost(p.precision), reverse=True))

    @field_validator("bit_widths")
    @classmethod
    def _descending(cls, bit_widths: tuple[int | str, ...]) -> tuple[int | str, ...]:
        precisions = [Precision.parse(bits) for bits in bit_widths]
        if (FLOAT, FLOAT) in precisions:
            raise ValueError("a float network is trained by the method 'float', without bit-widths")
        check_high_to_low(precisions)
        return bit_widths

    @field_validator("stem_bits", "head_bits")
    @classmethod
    def _known(cls, bits: int) -> int:
        return Precision.parse(bits).weights

    @field_validator("assignment")
    @classmethod
    def _complete(
        cls, assignment: dict[str, dict[str, int | str]]
    ) -> dict[str, dict[str, int | str]]:
        for name, layers in assignment.items():
            if not _NAME.fullmatch(name):
                raise ValueError(f"names are letters, digits, - and _ (at most 40), not {name!r}")
            if _is_bit_width(name):
                raise ValueError(f"'{name}' is what a bit-width is called; use another name")
            if DEFAULT not in layers:
                raise ValueError(f"'{name}' has no `default`, the bit-width of all other layers")
        return assignment

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if not self.points:
            raise ValueError("bit_widths: at least one bit-width, or an assignment, is needed")
        return self


def _is_bit_width(name: str) -> bool:
    try:
        Precision.parse(name)
    except ValueError:
        return False
    return True


def _point(name: str, layers: dict[str, int | str]) -> OperatingPoint:
    given = {layer: Precision.parse(bits) for layer, bits in layers.items()}
    default = given.pop(DEFAULT)
    return OperatingPoint(name, default, tuple(given.items()))
