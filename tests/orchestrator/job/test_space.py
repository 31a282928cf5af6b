from collections import Counter

import pytest

from orchestrator.job.space import Axis, combinations


def test_combinations_leave_out_axes_whose_condition_fails() -> None:
    space = {
        "method.name": Axis(choice=("coquant", "adabits")),
        "method.lambda": Axis(choice=(0, 1), when={"method.name": "coquant"}),
        "model.name": Axis(choice=("a",), when={"data.name": ["c", "d"]}),
    }
    found = list(combinations(space, {"data.name": "c"}, lambda axis: axis.ends))
    assert found == [
        {"method.name": "coquant", "method.lambda": 0, "model.name": "a"},
        {"method.name": "coquant", "method.lambda": 1, "model.name": "a"},
        {"method.name": "adabits", "model.name": "a"},
    ]


def test_the_steps_of_a_uniform_axis_are_equally_likely() -> None:
    axis = Axis(uniform=(0.3, 0.9), step=0.2)
    places = [number / 1000 for number in range(1000)]
    assert Counter(map(axis.value, places)) == {0.3: 250, 0.5: 250, 0.7: 250, 0.9: 250}
    assert [axis.unit(value) for value in (0.3, 0.5, 0.9)] == pytest.approx([1 / 8, 3 / 8, 7 / 8])
    assert axis.ends == (0.3, 0.9)
