"""The classes of a run, by number: what they are called, and how many samples each has."""

import csv
import io
from collections import Counter

from orchestrator.data import Dataset
from orchestrator.store.run_folder import RunFolder

COLUMNS = ("number", "class", "training", "evaluation")


def keep_classes(
    folder: RunFolder, train_set: Dataset, val_set: Dataset, *, fresh: bool = False
) -> None:
    """Write the table of classes into a run's folder, as CSV, unless it is there.

    fresh: also where one is there, of a start from which nothing came.

    A sample of several classes counts in each of them.
    """
    if not fresh and folder.classes.exists():
        return
    counts = [_counted(train_set), _counted(val_set)]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for number, name in enumerate(train_set.class_names):
        rows.writerow((number, name, *(count[number] for count in counts)))
    folder.classes.write(text.getvalue())


def _counted(dataset: Dataset) -> Counter[int]:
    return Counter(label for index in range(len(dataset)) for label in dataset.targets(index))
