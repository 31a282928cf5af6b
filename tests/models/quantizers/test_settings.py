"""Defaults; points; refusals."""

from typing import Any

import pytest
from pydantic import ValidationError

from models.precision import OperatingPoint, Precision
from models.quantizers.settings import QuantizerSettings


def test_defaults_are_those_of_coquant() -> None:
    assert QuantizerSettings().model_dump() == {
        "bit_widths": (8, 6, 4, 2),
        "assignment": {},
        "stem_bits": 32,
        "head_bits": 32,
        "weights": {
            "name": "coquant_trunc",
            "norm_max_grad": True,
            "align_domain": "unit",
            "align_scale_in_backward": False,
        },
        "activations": {
            "name": "pact",
            "clip_init": 8.0,
            "head_clip_init": None,
            "gradient": "pact",
            "floor": 1e-3,
            "signed_inputs": "symmetric",
            "clip_start": "fixed",
        },
    }


def test_points_go_from_high_to_low_and_assignments_stand_where_their_default_would() -> None:
    settings = QuantizerSettings(
        bit_widths=(8, 4, "w1a4"),
        assignment={"mixed": {"default": 4, "layer1.0.conv1": "w8a4"}, "high": {"default": 8}},
    )
    mixed = (("layer1.0.conv1", Precision(8, 4)),)
    assert settings.points == (
        OperatingPoint("8bit", Precision(8, 8)),
        OperatingPoint("high", Precision(8, 8)),
        OperatingPoint("4bit", Precision(4, 4)),
        OperatingPoint("mixed", Precision(4, 4), mixed),
        OperatingPoint("w1a4", Precision(1, 4)),
    )


def test_bit_widths_are_kept_as_they_are_usually_written() -> None:
    assert QuantizerSettings(bit_widths=("8bit", "w4a4", "w1a4")).bit_widths == (8, 4, "w1a4")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("bit_widths", (2, 8), "from high to low"),
        ("bit_widths", (4, "w3a2", "w2a4"), "times .*: 4bit, w2a4, w3a2, not 4bit, w3a2, w2a4"),
        ("bit_widths", (8, 8), "repeated: 8bit"),
        ("bit_widths", (9, 2), "1 to 8"),
        ("bit_widths", (), "at least one"),
        ("bit_widths", ("w4", 2), "written 4, w1a4"),
        ("stem_bits", 9, "bit-widths are 1 to 8, or 32"),
        ("head_bits", 0, "bit-widths are 1 to 8, or 32"),
        ("bit_widths", (32,), "trained by the method 'float'"),
        ("bitwidths", (8,), "not permitted"),
        ("assignment", {"mixed": {"layer1": 4}}, "'mixed' has no `default`"),
        ("assignment", {"mixed": {"default": 4, "fc": "x"}}, "a precision is written"),
        ("bit_widths", (True, 1), "a bit-width is written 4 or w1a4, not true"),
        ("bit_widths", (8.0,), "a bit-width is written 4 or w1a4, not 8.0"),
        ("bit_widths", ([8],), r"a bit-width is written 4 or w1a4, not \[8\]"),
        ("assignment", {"8bit": {"default": 8}}, "'8bit' is what a bit-width is called"),
        ("assignment", {"w1a4": {"default": 8}}, "'w1a4' is what a bit-width is called"),
        ("assignment", {"float": {"default": 8}}, "'float' is what a bit-width is called"),
        ("assignment", {"a/b": {"default": 8}}, "names are letters"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_was_expected(
    field: str, value: Any, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        QuantizerSettings(**{field: value})
