"""Independent: golden vectors, and all assignments one by one."""

from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.subnet.ranking import (
    best_assignments,
    budget,
    random_assignments,
    reachable,
)


@pytest.mark.golden
def test_the_ranking_is_that_of_the_golden_vectors(
    golden: Callable[[str], list[dict[str, Any]]],
) -> None:
    cases = [case for case in golden("bitmixer_misc") if case["kind"] == "search"]
    assert cases
    for case in cases:
        values, choices = case["eigenvalues"], case["choices"]
        total = budget(len(values), case["avg_bits"], choices)
        assert total == case["total_bits"]
        top = best_assignments(values, choices, total, len(case["top"]))
        assert [list(one.bits) for one in top] == [one["bits"] for one in case["top"]]
        assert [one.score for one in top] == pytest.approx([one["score"] for one in case["top"]])
        everything = best_assignments(values, choices, total, 1000)
        assert len(everything) == case["n_candidates"]


@given(
    st.lists(st.integers(-2, 3), min_size=1, max_size=5),
    st.sampled_from([(4, 3, 2), (4, 3, 1.5), (8, 2)]),
    st.floats(1.5, 6),
    st.integers(1, 12),
)
def test_the_best_are_the_first_of_all_with_ties_to_later_layers(
    values: list[int], choices: tuple[float, ...], average: float, count: int
) -> None:
    total = budget(len(values), average, choices)
    every = [bits for bits in product(choices, repeat=len(values)) if sum(bits) == total]
    scores = {bits: sum(b * v for b, v in zip(bits, values, strict=True)) for bits in every}
    ranked = sorted(every, key=lambda bits: (scores[bits], bits[::-1]), reverse=True)[:count]
    found = best_assignments(values, choices, total, count)
    assert [one.bits for one in found] == ranked
    assert [one.score for one in found] == [scores[bits] for bits in ranked]


def test_half_a_bit_is_rounded_up_unless_a_layer_can_have_it() -> None:
    whole, halves = (4, 3, 2), (4, 3, 1.5)
    assert [budget(*asked, whole) for asked in ((5, 2.5), (19, 3), (5, 2.49))] == [13, 57, 12]
    assert [budget(*asked, halves) for asked in ((19, 1.5), (5, 2.5), (5, 2.45))] == [
        28.5,
        12.5,
        12.5,
    ]


def test_every_average_that_can_be_had_has_its_bits() -> None:
    for choices in ((4, 3, 1.5), (4, 3, 2), (8, 4.5)):
        for bits in reachable(19, choices):
            assert budget(19, float(f"{bits / 19:.4g}"), choices) == bits


def test_random_assignments_fit_the_budget_and_are_equally_likely() -> None:
    every = [bits for bits in product((4, 3, 2), repeat=3) if sum(bits) == 8]
    drawn = Counter(random_assignments(3, (4, 3, 2), 8, 3000, seed=1))
    assert set(drawn) == set(every)
    assert all(
        number / 3000 == pytest.approx(1 / len(every), abs=0.03) for number in drawn.values()
    )
    assert random_assignments(3, (4, 3, 2), 8, 5, seed=1) == random_assignments(
        3, (4, 3, 2), 8, 5, seed=1
    )


def test_a_budget_out_of_reach_has_no_assignment() -> None:
    assert best_assignments([1.0, 2.0], (4, 2), 9, 3) == []
    assert random_assignments(2, (4, 2), 9, 3, seed=0) == []


def test_a_network_of_fifty_layers_is_ranked_in_a_moment() -> None:
    values = [((7 * i) % 11) / 3 for i in range(50)]
    found = best_assignments(values, (4, 3, 2), 150, 5)
    assert len({one.bits for one in found}) == 5
    assert all(sum(one.bits) == 150 for one in found)
