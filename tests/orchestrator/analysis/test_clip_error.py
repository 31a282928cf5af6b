"""The error of clipped outputs, against PACT's formula in numpy and AdaBits' finding."""

import numpy as np
import pytest

from orchestrator.analysis.clip_error import clip_errors, drawing, layer_outputs

BITS = (8, 4, 2)


def test_the_error_is_that_of_clipping_and_rounding_what_the_relu_lets_through() -> None:
    levels = (0.3, 1.0, 2.5)
    exact = np.maximum(layer_outputs(seed=3).double().numpy(), 0)
    for curve in clip_errors(BITS, seed=3, clip_levels=levels):
        top = 2**curve.bits - 1
        for level, error in zip(levels, curve.errors, strict=True):
            quantized = np.rint(np.clip(exact / level, 0, 1) * top) / top * level
            expected = np.linalg.norm(quantized - exact) / np.linalg.norm(exact)
            assert error == pytest.approx(expected, rel=1e-3)


def test_outputs_have_the_variance_of_a_sum_of_a_thousand_uniform_inputs() -> None:
    outputs = layer_outputs(seed=0).double()
    assert float(outputs.var()) == pytest.approx(1 / 3, rel=0.05)
    assert float(outputs.mean()) == pytest.approx(0, abs=0.1)


def test_fewer_bits_have_their_smallest_error_at_a_lower_clip_level() -> None:
    curves = clip_errors(BITS, seed=0)
    levels, errors = zip(*(curve.best for curve in curves), strict=True)
    assert list(levels) == sorted(levels, reverse=True)
    assert len(set(levels)) == len(BITS)
    assert list(errors) == sorted(errors)
    assert curves == clip_errors(BITS, seed=0)
    assert curves != clip_errors(BITS, seed=1)


def test_the_figure_has_a_column_for_each_bit_width() -> None:
    curves = clip_errors(BITS, seed=0, clip_levels=(1.0, 2.0))
    drawn = drawing(curves)
    assert drawn.heads == ("clip_level", "8bit", "4bit", "2bit")
    assert drawn.rows[1] == (2.0, *(curve.errors[1] for curve in curves))
