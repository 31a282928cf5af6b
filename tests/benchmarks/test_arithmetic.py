"""What is said about runs in integers and in floats."""

import pytest

from benchmarks import arithmetic
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


def test_the_commands_in_its_description_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, object] = {}
    top1 = {"8bit": [50.0]}
    monkeypatch.setattr(arithmetic, "in_each", lambda *_: {"integer": top1, "float": top1})
    monkeypatch.setattr(arithmetic, "keep", lambda name, about: kept.update({name: about}))
    lines = str(arithmetic.__doc__).splitlines()
    commands = [line.replace("[", "").replace("]", "").split() for line in lines if "-m" in line]
    for command in commands:
        monkeypatch.setattr("sys.argv", command[2:])
        arithmetic.main()
    assert kept.keys() == {"arithmetic_quickstart", "arithmetic_cifar10"}
