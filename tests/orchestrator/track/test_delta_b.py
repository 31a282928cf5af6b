from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.track.delta_b import ReferenceResults, delta_b, published_reference
from orchestrator.track.result import NO_REFERENCE, Result


def by_bits(values: dict[str, float]) -> dict[int, float]:
    return {int(bits): value for bits, value in values.items()}


@pytest.mark.golden
def test_delta_b_agrees_with_the_golden_vectors(
    golden: Callable[[str], list[dict[str, Any]]],
) -> None:
    cases = [case for case in golden("metrics") if case["kind"] == "delta_B"]
    assert cases
    for case in cases:
        found = delta_b(by_bits(case["model"]), by_bits(case["individual"]))
        assert found == pytest.approx(case["delta_B_percent"], abs=1e-12)


def test_the_published_coquant_row_reaches_the_published_delta_b() -> None:
    """CoQuant Table 6: 69.3 / 69.2 / 68.4 / 64.6 against the individual row is 99.56."""
    row = published_reference("activitynet_resnet50")
    measured = {8: 69.3, 6: 69.2, 4: 68.4, 2: 64.6}
    assert delta_b(measured, row.values) == pytest.approx(99.56, abs=0.005)


def test_a_bit_width_without_a_result_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match=r"\[2\]"):
        delta_b({8: 90.0, 2: 80.0}, {8: 90.0})


def test_a_table_says_what_it_was_compared_with() -> None:
    reference = ReferenceResults("published: somewhere", "top1", {8: 80.0, 2: 50.0})
    result = Result("top1", 4, {8: 88.0, 2: 45.0}, {8: 0.5, 2: 0.9}, reference)
    assert result.delta_b == pytest.approx(100 * (88 / 80 + 45 / 50) / 2)
    assert "Delta_B against published: somewhere." in result.markdown()
    assert "| 8 | 88.00 | 0.5000 | 80.0 | 110.0 |" in result.markdown()


def test_without_a_reference_there_is_no_delta_b_and_the_table_says_so() -> None:
    result = Result("top1", 0, {8: 88.0}, {8: 0.5})
    assert result.delta_b is None
    assert NO_REFERENCE in result.markdown()
    assert result.rows()[0]["reference"] is None


def test_a_reference_of_another_metric_or_of_zero_gives_no_delta_b() -> None:
    other = ReferenceResults("published: somewhere", "map", {8: 80.0})
    assert "is map, this run is judged by top1" in Result("top1", 0, {8: 1.0}, {8: 1.0}, other).note
    zero = ReferenceResults("own", "top1", {8: 0.0})
    assert "no result above zero at 8bit." in Result("top1", 0, {8: 1.0}, {8: 1.0}, zero).note
