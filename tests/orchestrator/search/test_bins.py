import pytest

from orchestrator.search.bins import binned


def test_listed_numbers_have_a_bin_each() -> None:
    bins = binned([8, 2, 4, 2], log=False)
    assert (bins.labels, bins.centers, bins.of) == (("2", "4", "8"), (2.0, 4.0, 8.0), (2, 0, 1, 0))
    assert bins.is_exact
    assert bins.places([8, 2, 4, 2]) == [8, 2, 4, 2]


def test_listed_numbers_that_would_crowd_are_set_out_evenly() -> None:
    values = [0, 1e-4, 1e-2, 1, 1e-4]
    bins = binned(values, log=False)
    assert bins.labels == ("0", "0.0001", "0.01", "1")
    assert bins.places(values) == [0, 1, 2, 3, 1]


def test_what_is_no_number_is_set_out_evenly() -> None:
    bins = binned(["b", True, [1, 2], "b"], log=False)
    assert bins.labels == ("True", "[1, 2]", "b")
    assert bins.places(["b", True, [1, 2], "b"]) == [2, 0, 1, 2]


def test_drawn_numbers_share_bins_of_equal_width_in_their_scale() -> None:
    values = [10 ** (-6 * number / 99) for number in range(100)]
    bins = binned(values, log=True)
    assert bins.centers == pytest.approx([10 ** (number - 5.5) for number in range(6)])
    assert [bins.of.count(number) for number in range(6)] == pytest.approx([16.7] * 6, abs=1)
    assert not bins.is_exact
    linear = binned([number + 0.12345 for number in range(13)], log=False)
    assert linear.of == (0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5)
