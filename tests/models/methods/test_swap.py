"""Independent: the golden table of probabilities; frequencies of the draws."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from models.methods.base import Step
from models.methods.swap import (
    SwapUnit,
    draw_masks,
    own_probabilities,
    ramp,
    swap_units,
    swapped_assignment,
)
from models.precision import Assignment, LayerInfo, OperatingPoint, Precision

MakeStep = Callable[..., Step]
at = OperatingPoint.at


@pytest.mark.golden
def test_probabilities_are_the_golden_ones(
    golden: Callable[[str], dict[str, Any]], make_step: MakeStep
) -> None:
    data = golden("teacher_swap")
    assert data["p_schedule"]
    for case in data["p_schedule"]:
        step = make_step(epoch=case["epoch"], epochs=case["epochs"])
        p1 = ramp(case["p1_init"], step, "epoch")
        assert p1 == pytest.approx(case["p1"], abs=data["abs"])
        expected = pytest.approx(case["p_l"], abs=data["abs"])
        assert own_probabilities(p1, case["L"]) == expected


@pytest.mark.parametrize("update", ["epoch", "iteration"])
def test_the_last_epoch_is_free_of_swaps(make_step: MakeStep, update: Any) -> None:
    for progress in (0.9, 0.95, 0.999):
        assert ramp(0.0, make_step(epoch=9, epochs=10, progress=progress), update) == 1.0


@pytest.mark.parametrize("update", ["epoch", "iteration"])
def test_a_run_of_one_epoch_never_swaps(make_step: MakeStep, update: Any) -> None:
    assert ramp(0.0, make_step(epoch=0, epochs=1, progress=0.0), update) == 1.0


def test_p1_rises_from_step_to_step_and_meets_the_ramp_of_epochs(make_step: MakeStep) -> None:
    within = [make_step(epoch=3, epochs=10, progress=p) for p in (0.3, 0.35, 0.399)]
    values = [ramp(0.5, step, "iteration") for step in within]
    assert values == sorted(set(values))
    assert values[0] == pytest.approx(ramp(0.5, within[0], "epoch"))
    assert [ramp(0.5, step, "epoch") for step in within] == [pytest.approx(0.5 + 0.5 / 3)] * 3


def test_draws_depend_on_seed_step_and_student_alone(make_step: MakeStep) -> None:
    step, chances = make_step(seed=3, index=7), [0.5] * 64
    mask = draw_masks(step, at(4), chances)
    assert mask == draw_masks(replace(step, epoch=5, progress=0.9), at(4), chances)
    others = (
        draw_masks(replace(step, seed=4), at(4), chances),
        draw_masks(replace(step, index=8), at(4), chances),
        draw_masks(step, at(2), chances),
        draw_masks(step, at("w2a4"), chances),
        draw_masks(step, at("w4a2"), chances),
    )
    assert all(mask != other for other in others)


def test_draws_have_their_probability(make_step: MakeStep) -> None:
    chances = [0.0, 0.1, 0.5, 0.9, 1.0]
    draws = [draw_masks(make_step(index=index), at(2), chances) for index in range(2000)]
    shares = [sum(mask[unit] for mask in draws) / len(draws) for unit in range(5)]
    assert shares == pytest.approx(chances, abs=0.04)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


LAYERS = [
    LayerInfo("stem.conv1", 0, None, "conv"),
    LayerInfo("stem.conv2", 0, 0, "conv"),
    LayerInfo("next.conv1", 1, 1, "conv"),
    LayerInfo("next.conv2", 1, 2, "depthwise"),
    LayerInfo("next.shortcut", 1, 1, "shortcut"),
    LayerInfo("last", None, 3, "conv"),
]


def swapped(own: list[bool], unit: SwapUnit) -> str:
    """The layers' bit-widths, with a teacher of 8 and a student of 2 bits."""
    low, high = Precision(2, 2), Precision(8, 8)
    student, teacher = (Assignment(p, (p,) * len(LAYERS)) for p in (low, high))
    found = swapped_assignment(student, teacher, swap_units(LAYERS, unit), own)
    assert found.outside == low
    return " ".join(str(precision.weights) for precision in found.layers)


def test_a_block_is_swapped_whole_with_its_shortcut() -> None:
    assert swapped([True, False], "block") == "2 2 8 8 8 2"
    assert swapped([False, True], "block") == "8 8 2 2 2 2"


def test_a_layer_is_swapped_by_itself_and_a_shortcut_with_the_first_of_its_block() -> None:
    assert swapped([True, False, True, False], "layer") == "2 8 2 8 2 2"
    assert swapped([False, True, False, True], "layer") == "8 2 8 2 8 2"
