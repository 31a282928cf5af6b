"""What is said about runs in integers and in floats."""

from benchmarks.arithmetic import compared


def test_arithmetics_are_compared_by_the_means_of_their_seeds() -> None:
    integer = {"8bit": [50.0, 53.0], "2bit": [40.0, 40.5]}
    floating = {"8bit": [51.0, 50.0], "2bit": [41.0, 43.0]}
    assert compared({"integer": integer, "float": floating}) == {
        "top1": {"integer": integer, "float": floating},
        "mean": {"integer": {"8bit": 51.5, "2bit": 40.25}, "float": {"8bit": 50.5, "2bit": 42.0}},
        "seed_spread": {"integer": {"8bit": 3.0, "2bit": 0.5}, "float": {"8bit": 1.0, "2bit": 2.0}},
        "difference": {"8bit": 1.0, "2bit": -1.75},
    }
