"""What all figures have in common."""

from orchestrator.drawing import new_axes


def test_numbers_of_a_logarithmic_axis_are_of_one_size() -> None:
    figure, axes = new_axes("title", "x", "y")
    axes.set_yscale("log")
    axes.plot([1, 2], [0.08, 0.35])
    figure.draw_without_rendering()
    labels = axes.get_yticklabels(which="both")
    assert {label.get_size() for label in labels if label.get_text()} == {8}
