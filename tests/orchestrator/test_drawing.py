"""What all figures have in common."""

import pytest

from orchestrator.drawing import in_logarithm, new_axes


@pytest.mark.parametrize(
    ("lowest", "highest", "shown"),
    [
        (0.08, 0.35, {"0.1", "0.2", "0.3"}),
        (4.1, 8.4, {"4", "6"}),
        (0.5, 600, {"1", "10", "100"}),
    ],
)
def test_numbers_of_a_logarithmic_axis_are_plain_and_of_one_size(
    lowest: float, highest: float, shown: set[str]
) -> None:
    figure, axes = new_axes("title", "x", "y")
    axes.plot([lowest, highest], [lowest, highest])
    in_logarithm(axes.xaxis, axes.yaxis)
    figure.draw_without_rendering()
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        labels = [label for label in axis.get_ticklabels(which="both") if label.get_text()]
        assert {label.get_size() for label in labels} == {8}
        read = {x.get_text(): float(x.get_text()) for x in labels}
        assert {text for text, value in read.items() if low <= value <= high} >= shown
        assert all(text == f"{value:g}" for text, value in read.items())
