"""The table of a mean over classes of which some cannot be judged."""

import pytest

from orchestrator.track.result import PointResult, Result

ROWS = (PointResult("8bit", 10.0, 0.5), PointResult("2bit", 7.5, 0.75))


def test_the_mean_over_the_classes_with_positives_stands_beside_that_over_all() -> None:
    table = Result("map", 0, 9, ROWS, classes=(20, 200)).markdown().splitlines()
    assert table[0] == "| point | mAP (%) | over 20 classes | loss | reference | ratio (%) |"
    assert table[2:4] == [
        "| 8bit | 10.00 | 100.00 | 0.5000 | - | - |",
        "| 2bit | 7.50 | 75.00 | 0.7500 | - | - |",
    ]
    assert "Only 20 of 200 classes have positives in the evaluation set" in table[-1]


@pytest.mark.parametrize("classes", [None, (200, 200)])
def test_where_all_classes_are_judged_nothing_is_said(classes: tuple[int, int] | None) -> None:
    table = Result("map", 0, 9, ROWS, classes=classes).markdown()
    assert table.startswith("| point | mAP (%) | loss | reference | ratio (%) |\n|---:|---:|---:|")
    assert "classes" not in table


def test_an_evaluation_set_without_any_positive_has_no_such_mean() -> None:
    assert (
        "| 8bit | 0.00 | - | 0.5000 |"
        in Result("map", 0, 9, (PointResult("8bit", 0.0, 0.5),), classes=(0, 5)).markdown()
    )
