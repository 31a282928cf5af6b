"""What every quantizer of activations must do, in each of its forms."""

from typing import Any

import pytest
import torch
from torch import Tensor

from models.layers.layout import Switched
from models.precision import Precision
from models.quantized import Codes, values_of
from models.quantizers import ACTIVATION_QUANTIZERS
from models.quantizers.base import ActivationQuantizer
from models.table import resolve
from tests.models.precisions import at

FORMS: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "pact": ("pact", False, {}),
    "pact symmetric": ("pact", True, {}),
    "pact two-sided": ("pact", True, {"signed_inputs": "two_sided"}),
    "pact two-sided calibrated": (
        "pact",
        True,
        {"signed_inputs": "two_sided", "gradient": "calibrated"},
    ),
    "lsq_floor": ("lsq_floor", True, {}),
    "lsq_floor round asymmetric": (
        "lsq_floor",
        True,
        {"rounding": "round", "range": "asymmetric"},
    ),
    "lsq_floor behind a ReLU": ("lsq_floor", False, {}),
    "moving_range": ("moving_range", True, {}),
    "moving_range behind a ReLU": ("moving_range", False, {}),
}
forms = pytest.mark.parametrize("form", FORMS)
BITS = (8, 3, 2, 1)


def quantizer(form: str, *names: str, start: bool = True, **settings: Any) -> ActivationQuantizer:
    """A quantizer that has seen a batch, from -2 to 1, at each of its precisions."""
    kind, signed, own = FORMS[form]
    found = resolve(ACTIVATION_QUANTIZERS, kind)
    if kind == "pact":
        own = own | {"clip_start": "data"}
    made: ActivationQuantizer = found(found.Settings(**own | settings), names, signed=signed)
    if start:
        see(made, names, batch())
    return made.eval()


def batch() -> Tensor:
    return torch.linspace(-2, 1, 600).view(2, 3, 10, 10)


def see(made: ActivationQuantizer, names: tuple[str, ...], inputs: Tensor) -> None:
    made.starting = True
    with torch.no_grad():
        for name in names:
            made(inputs, at(name))
    made.starting = False


def can_run(form: str, bits: int) -> bool:
    return not (form == "lsq_floor behind a ReLU" and bits == 1)


def test_every_quantizer_of_the_table_has_a_form_here() -> None:
    assert {kind for kind, _, _ in FORMS.values()} == set(ACTIVATION_QUANTIZERS)


@forms
@pytest.mark.parametrize("bits", BITS)
def test_it_keeps_levels_and_order_and_passes_gradients(form: str, bits: int) -> None:
    if not can_run(form, bits):
        return
    made = quantizer(form, f"{bits}bit")
    inputs = torch.linspace(-5, 5, 9001).requires_grad_()
    values = made(inputs, at(bits))
    assert values.dtype == torch.float32
    levels = values.unique()
    assert 2 <= len(levels) <= 2**bits
    assert (values.diff() >= 0).all()
    step = (levels[-1] - levels[0]) / (len(levels) - 1)
    torch.testing.assert_close(levels.diff(), step.expand(len(levels) - 1), rtol=1e-3, atol=0)
    values.sum().backward()
    assert inputs.grad is not None
    assert inputs.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in made.parameters())


def run(
    made: ActivationQuantizer, inputs: Tensor, bits: int
) -> tuple[Tensor, list[Tensor | None], list[Tensor | None]]:
    """Values, and the gradients of inputs and parameters for a fixed upstream gradient."""
    made.zero_grad()
    inputs = inputs.detach().requires_grad_()
    values = values_of(made(inputs, at(bits)))
    upstream = torch.linspace(-1, 2, values.numel(), dtype=values.dtype).view_as(values)
    values.backward(upstream)
    return values.detach(), [inputs.grad], [p.grad for p in made.parameters()]


@forms
@pytest.mark.parametrize("bits", BITS)
def test_codes_are_whole_numbers_with_the_values_and_gradients_of_values(
    form: str, bits: int
) -> None:
    if not can_run(form, bits):
        return
    made = quantizer(form, f"{bits}bit")
    inputs = torch.randn(2, 3, 9, 9)
    expected = run(made, inputs, bits)
    made.in_codes = True
    codes = made(inputs, at(bits))
    assert isinstance(codes, Codes)
    assert (codes.codes.dtype, codes.bits) == (torch.uint8, bits)
    assert codes.codes.is_contiguous(memory_format=torch.channels_last)
    assert int(codes.codes.max()) < 2**bits
    torch.testing.assert_close(run(made, inputs, bits), expected, rtol=1e-4, atol=1e-5)


@forms
def test_in_float64_it_gives_the_same_up_to_rounding(form: str) -> None:
    made, inputs = quantizer(form, "3bit"), torch.randn(2, 3, 9, 9)
    single = run(made, inputs, 3)
    double = run(made.double(), inputs.double(), 3)
    assert double[0].dtype == torch.float64
    torch.testing.assert_close(double, single, rtol=1e-4, atol=1e-4, check_dtype=False)


@forms
def test_bfloat16_inputs_get_float32_levels_and_a_bfloat16_gradient(form: str) -> None:
    made, inputs = quantizer(form, "8bit"), torch.randn(50).bfloat16().requires_grad_()
    values = made(inputs, at(8))
    assert torch.equal(values, made(inputs.float(), at(8)))
    values.sum().backward()
    assert inputs.grad is not None
    assert inputs.grad.dtype == torch.bfloat16


@forms
def test_autocast_does_not_flip_codes(form: str) -> None:
    made, inputs = quantizer(form, "8bit"), torch.randn(1000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = made(inputs, at(8))
    assert values.dtype == torch.float32
    assert torch.equal(values, made(inputs, at(8)))


@forms
@pytest.mark.parametrize("in_codes", [False, True])
@pytest.mark.parametrize("bits", [4, 1])
def test_an_input_that_is_not_a_number_shows(form: str, in_codes: bool, bits: int) -> None:
    if not can_run(form, bits):
        return
    made, inputs = quantizer(form, f"{bits}bit"), torch.zeros(1, 2, 3, 3)
    made.in_codes = in_codes
    inputs[0, 1, 2, 2] = torch.nan
    values = values_of(made(inputs, at(bits)))
    assert values.isnan().all() if in_codes else values[0, 1, 2, 2].isnan()


@forms
def test_the_first_batch_at_a_precision_is_the_one_that_counts(form: str) -> None:
    made = quantizer(form, "4bit", "2bit", start=False)
    assert made.waits_for_data
    see(made, ("4bit",), batch())
    assert made.waits_for_data
    kept = made(batch(), at(4))
    see(made, ("4bit", "2bit"), 3 * batch())
    assert not made.waits_for_data
    assert torch.equal(made(batch(), at(4)), kept)
    other = quantizer(form, "2bit", start=False)
    see(other, ("2bit",), 3 * batch())
    assert torch.equal(made(batch(), at(2)), other(batch(), at(2)))


@forms
def test_a_shared_value_starts_at_the_first_precision_and_serves_all(form: str) -> None:
    made, alone = quantizer(form, "shared", start=False), quantizer(form, "4bit")
    see(made, ("4bit", "2bit"), batch())
    assert not made.waits_for_data
    assert torch.equal(made(batch(), at(4)), alone(batch(), at(4)))
    assert made(batch(), at(2)).isfinite().all()


@forms
def test_a_new_precision_begins_with_the_range_of_another_and_one_that_is_there_in_place(
    form: str,
) -> None:
    made = quantizer(form, "4bit", "2bit")
    held = [*made.parameters(), *made.buffers()]
    for module in made.modules():
        if isinstance(module, Switched):
            module.begin(Precision(3, 3), Precision(4, 4))
            module.begin(Precision(2, 2), Precision(4, 4))
            module.begin(Precision(8, 32), Precision(4, 4))
    now = [*made.parameters(), *made.buffers()]
    assert {id(tensor) for tensor in held} < {id(tensor) for tensor in now}
    far = torch.tensor([-100.0, 100.0]) if made.signed else torch.tensor([100.0])
    if FORMS[form][2].get("range") != "asymmetric":
        for bits in (3, 2):
            torch.testing.assert_close(made(far, at(bits)), made(far, at(4)), rtol=0.2, atol=0.1)


@pytest.mark.parametrize("name", ACTIVATION_QUANTIZERS)
def test_float_activations_pass_by(name: str) -> None:
    kind = resolve(ACTIVATION_QUANTIZERS, name)
    made = kind(kind.Settings(), [], signed=False)
    inputs = torch.randn(4, 5)
    assert torch.equal(made(inputs, at("w4a32")), torch.relu(inputs))
    signed = kind(kind.Settings(), [], signed=True)
    signed.starting = True
    assert signed(inputs, at("w4a32")) is inputs
