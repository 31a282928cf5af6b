"""The table of classes in a run's folder."""

import csv
from pathlib import Path

from orchestrator.store.run_folder import RunFolder
from orchestrator.train.class_table import keep_classes


class Labeled:
    """A data set of which only the labels are looked at."""

    class_names = ("cat", 'dog, "the"', "none")

    def __init__(self, *targets: list[int]) -> None:
        self._targets = targets

    def __len__(self) -> int:
        return len(self._targets)

    def targets(self, index: int) -> list[int]:
        return self._targets[index]


def test_each_class_is_named_with_its_samples_in_both_sets(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    keep_classes(folder, Labeled([0], [1], [0, 1]), Labeled([1]))
    with (tmp_path / "classes.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["number", "class", "training", "evaluation"],
            ["0", "cat", "2", "0"],
            ["1", 'dog, "the"', "2", "1"],
            ["2", "none", "0", "0"],
        ]


def test_it_is_counted_once_for_a_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.classes.write("before")
    keep_classes(folder, Labeled([0]), Labeled([0]))
    assert folder.classes.read() == "before"
    keep_classes(folder, Labeled([0]), Labeled([0]), fresh=True)
    assert "none,0,0" in folder.classes.read()
