"""The defaults, and what is refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from models.quantizers.settings import QuantizerSettings


def test_defaults_are_the_choice_registers() -> None:
    assert QuantizerSettings().model_dump() == {
        "bit_widths": (8, 6, 4, 2),
        "weight_quant": "coquant_trunc",
        "weight_norm_max_grad": True,
        "align_domain": "unit",
        "align_scale_in_backward": False,
        "act_quant": "pact",
        "pact_grad": "pact",
        "alpha_floor": 1e-3,
        "signed_act": "symmetric",
        "quantize_identity": True,
        "stem_bn_shared": True,
    }


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("bit_widths", (2, 8), "from high to low"),
        ("bit_widths", (8, 8), "each once"),
        ("bit_widths", (9, 2), "1 to 8"),
        ("bit_widths", (), "at least one"),
        ("weight_quant", "dorefaa", "known are coquant_trunc, dorefa"),
        ("act_quant", "lsq", "known are pact"),
        ("alpha_floor", 0, "greater than 0"),
        ("bitwidths", (8,), "not permitted"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_was_expected(
    field: str, value: Any, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        QuantizerSettings(**{field: value})
