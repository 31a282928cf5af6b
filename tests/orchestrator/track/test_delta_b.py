from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.track.delta_b import ReferenceResults, delta_b, published_reference
from orchestrator.track.result import NO_REFERENCE, PointResult, Result


@pytest.mark.golden
def test_delta_b_agrees_with_the_golden_vectors(
    golden: Callable[[str], list[dict[str, Any]]],
) -> None:
    cases = [case for case in golden("metrics") if case["kind"] == "delta_B"]
    assert cases
    for case in cases:
        found = delta_b(case["model"], case["individual"])
        assert found == pytest.approx(case["delta_B_percent"], abs=1e-12)


def test_the_published_coquant_row_reaches_the_published_delta_b() -> None:
    """CoQuant Table 6: 69.3 / 69.2 / 68.4 / 64.6 against the individual row is 99.56."""
    row = published_reference("activitynet_resnet50")
    measured = {"8bit": 69.3, "6bit": 69.2, "4bit": 68.4, "2bit": 64.6}
    assert delta_b(measured, row.values) == pytest.approx(99.56, abs=0.005)


def test_a_point_without_a_result_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="at 2bit"):
        delta_b({"8bit": 90.0, "2bit": 80.0}, {"8bit": 90.0})


def test_a_table_says_what_it_was_compared_with() -> None:
    reference = ReferenceResults("published: somewhere", "top1", {"8bit": 80.0, "w1a4": 50.0})
    rows = [PointResult("8bit", 88.0, 0.5), PointResult("w1a4", 45.0, 0.9)]
    result = Result("top1", 4, 45, tuple(rows)).beside(reference)
    assert result.delta_b == pytest.approx(100 * (88 / 80 + 45 / 50) / 2)
    assert "Delta_B against published: somewhere." in result.markdown()
    assert "| 8bit | 88.00 | 0.5000 | 80.0 | 110.0 |" in result.markdown()
    assert "| w1a4 | 45.00 | 0.9000 | 50.0 | 90.0 |" in result.markdown()
    assert result.metric == {"8bit": 88.0, "w1a4": 45.0}


def test_a_point_that_was_not_trained_takes_no_part_in_delta_b() -> None:
    reference = ReferenceResults("published: somewhere", "top1", {"8bit": 80.0})
    rows = [PointResult("8bit", 88.0, 0.5), PointResult("7bit", 40.0, 0.9, calibrated="zero-shot")]
    result = Result("top1", 4, 45, tuple(rows)).beside(reference)
    assert result.delta_b == pytest.approx(110.0)
    assert result.rows[1] == rows[1]


def test_without_a_reference_there_is_no_delta_b_and_the_table_says_so() -> None:
    result = Result("top1", 0, 9, (PointResult("8bit", 88.0, 0.5),)).beside(None)
    assert result.delta_b is None
    assert NO_REFERENCE in result.markdown()
    assert result.rows[0].reference is None


def test_a_reference_of_another_metric_or_of_zero_gives_no_delta_b() -> None:
    rows = [PointResult("8bit", 1.0, 1.0)]
    other = ReferenceResults("published: somewhere", "map", {"8bit": 80.0})
    result = Result("top1", 0, 9, tuple(rows))
    assert "is map, this run has top1" in result.beside(other).note
    zero = ReferenceResults("own", "top1", {"8bit": 0.0})
    assert "no result above zero at 8bit." in result.beside(zero).note


def test_a_point_of_an_earlier_phase_counts_in_delta_b_and_a_zero_shot_one_does_not() -> None:
    rows = (
        PointResult("2bit", 45.0, 1.0),
        PointResult("4bit", 90.0, 1.0, calibrated="earlier phase"),
        PointResult("3bit", 10.0, 1.0, calibrated="zero-shot"),
    )
    values = {"2bit": 90.0, "4bit": 90.0, "3bit": 90.0}
    result = Result("top1", 0, 1, rows).beside(ReferenceResults("mine", "top1", values))
    assert result.delta_b == pytest.approx(75.0)
