"""The official lists of which videos train and which test: those of UCF101 and those of HMDB51.

UCF101 (Soomro et al., 2012): classInd.txt with a number and a class in each line, trainlist01.txt
and testlist01.txt with CLASS/VIDEO.avi, in the former followed by the class's number. HMDB51
(Kuehne et al., ICCV 2011): CLASS_test_split1.txt with VIDEO.avi and 1 to train, 2 to test or 0.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from video.annotations import LeftOut
from video.anywhere import Place
from video.class_folders import seen

_CLASS = re.compile(r"(?P<number>\d{1,9})\s+(?P<name>\S.*)")
_OF_UCF101 = re.compile(r"(?P<name>[^/]+)/(?P<file>.+?)(?:\s+(?P<number>\d+))?")
_OF_HMDB51 = re.compile(r"(?P<file>.+?)\s+(?P<use>[012])")
_DIGITS = 9
_USE = {True: "1", False: "2"}


@dataclass(frozen=True)
class Split:
    """What lists say. rows: the class number of each video, and its name without extension."""

    class_names: list[str]
    rows: list[tuple[int, str]]
    remarks: list[str]


def read_split(folder: Place, number: int, *, train: bool) -> Split:
    """Return the videos to train on or those of the test, in the order of the lists.

    Raises ValueError when the lists of this split are not there, or no line of them can be used.
    """
    classes = folder / "classInd.txt"
    listed = folder / f"{'train' if train else 'test'}list{number:02d}.txt"
    of_classes = _of_classes(folder, number)
    if listed.is_file() and not classes.is_file():
        raise ValueError(
            f"no file {classes}, which numbers the classes of {listed.name}: it comes with the "
            "lists of UCF101 (https://www.crcv.ucf.edu/data/UCF101.php)"
        )
    if listed.is_file():
        split = _ucf101(classes, listed)
    elif of_classes:
        split = _hmdb51(of_classes, _USE[train])
    else:
        raise ValueError(
            f"{folder} has no lists of split {number}: neither {listed.name}, as UCF101, nor "
            f"CLASS_test_split{number}.txt, as HMDB51"
        )
    if not split.rows:
        why = f": {split.remarks[0]}" if split.remarks else ""
        raise ValueError(f"split {number} in {folder} lists no video for this subset{why}")
    return split


def _ucf101(classes: Place, listed: Place) -> Split:
    numbers, odd = _class_numbers(classes)
    place = {name: at for at, name in enumerate(numbers)}
    rows, left_out = [], LeftOut(listed)
    for line, text in _lines(listed):
        found = _OF_UCF101.fullmatch(text)
        if found is None or found["name"] not in place:
            left_out.add(f"line {line}", text, "CLASS/VIDEO, and a class of classInd.txt")
        elif found["number"] and _is_another(found["number"], numbers[found["name"]]):
            left_out.add(f"line {line}", text, f"the class number {numbers[found['name']]}")
        else:
            rows.append((place[found["name"]], PurePosixPath(found["file"]).stem))
    return Split(list(numbers), rows, [*odd.remarks(), *left_out.remarks()])


def _is_another(text: str, number: int) -> bool:
    """Whether a text is another number; too many digits for one are."""
    return len(text) > _DIGITS or int(text) != number


def _class_numbers(file: Place) -> tuple[dict[str, int], LeftOut]:
    """Return the numbers of the classes, in their order."""
    numbers, left_out = {}, LeftOut(file)
    for line, text in _lines(file):
        found = _CLASS.fullmatch(text)
        if found and found["name"] in numbers:
            left_out.add(f"line {line}", text, "a class that is not listed above")
        elif found:
            numbers[found["name"]] = int(found["number"])
        else:
            left_out.add(f"line {line}", text, "a number and a class")
    return dict(sorted(numbers.items(), key=lambda one: one[1])), left_out


def _of_classes(folder: Place, number: int) -> dict[str, Place]:
    """Return the list of each class, if there are any, by sorted names."""
    ending = f"_test_split{number}.txt"
    found = (entry for entry in seen(folder) if entry.name.endswith(ending))
    return {entry.name.removesuffix(ending): entry for entry in sorted(found, key=str)}


def _hmdb51(lists: dict[str, Place], use: str) -> Split:
    names = sorted(lists)
    rows, remarks = [], []
    for place, name in enumerate(names):
        left_out = LeftOut(lists[name])
        for line, text in _lines(lists[name]):
            found = _OF_HMDB51.fullmatch(text)
            if found is None:
                left_out.add(f"line {line}", text, "VIDEO and 0, 1 or 2")
            elif found["use"] == use:
                rows.append((place, PurePosixPath(found["file"]).stem))
        remarks += left_out.remarks()
    return Split(names, rows, remarks)


def _lines(file: Place) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, with their numbers."""
    text = file.read_bytes().decode("utf-8-sig", "surrogateescape")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.strip()
