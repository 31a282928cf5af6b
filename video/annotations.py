"""Annotation files as people have them: what can be read is read, and the rest is named."""

import csv
import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from video.anywhere import Place

SHOWN = 3
"""How many entries of a file that are left out are named one by one."""
FIELD = 200
"""How many characters of an entry are shown."""


@dataclass
class LeftOut:
    """The entries of a file that cannot be used, each with what is wrong."""

    path: Place
    problems: list[str] = field(default_factory=list)

    def add(self, where: str, found: object, expected: str, why: str = "") -> None:
        """Leave out an entry. where: its row or its name in the file. why: which part is wrong."""
        reason = f" ({why})" if why else ""
        self.problems.append(f"{where}: expected {expected}, got {_shown(found)}{reason}")

    def without(
        self, what: str, expected: Collection[str], found: Iterable[tuple[str, str]]
    ) -> None:
        """Leave out the entries whose part or set is none of the expected ones, each kind once.

        what: "split" or "subset". found: the id of the video of every entry, and its part or set.
        """
        unknown: dict[str, list[str]] = {}
        for video_id, name in found:
            if name.casefold() not in expected:
                unknown.setdefault(name, []).append(video_id)
        for name, videos in unknown.items():
            many = f"{len(videos)} entries, such as " if len(videos) > 1 else ""
            wanted = f"the {what} {' or '.join(sorted(expected))}"
            self.add(f"{many}video {videos[0]}", name, wanted)

    def remarks(self) -> list[str]:
        """Return a line for each of the first ones, and how many more there are."""
        lines = [f"{self.path}, {problem}; left out." for problem in self.problems[:SHOWN]]
        more = len(self.problems) - SHOWN
        return [*lines, f"{self.path}: {more} more entries are left out."] if more > 0 else lines


def _shown(found: object) -> str:
    shown = repr(found)
    return shown if len(shown) <= FIELD else f"{shown[:FIELD]} ..."


class Row(NamedTuple):
    """A row of a Kinetics CSV: a span of a YouTube video, in whole seconds."""

    label: str
    youtube_id: str
    start: int
    end: int
    split: str


COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")


def read_kinetics(path: Place) -> tuple[list[Row], LeftOut]:
    """Return the rows of a CSV file of Kinetics, whatever the order of its columns.

    Raises ValueError when columns are missing or there twice, or no row can be used.
    """
    rows: list[Row] = []
    left_out = LeftOut(path)
    # A byte-order mark is no part of the first column's name; a byte that is no UTF-8 costs a row.
    text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    lines = _csv_lines(text)
    _, first = next(lines, (1, []))
    header = [name.strip().casefold() for name in first]
    for said, wrong in (
        ("has no column", [name for name in COLUMNS if name not in header]),
        ("has twice the column", [name for name in COLUMNS if header.count(name) > 1]),
    ):
        if wrong:
            raise ValueError(
                f"{path} {said} {', '.join(wrong)}; the CSV files of Kinetics have "
                f"{', '.join(COLUMNS)}, and its first line is {_shown(','.join(first))}"
            )
    for number, fields in lines:
        values = dict(zip(header, fields, strict=False))
        try:
            rows.append(_row(values))
        except ValueError as error:
            found = ",".join(values.get(name) or "" for name in COLUMNS)
            left_out.add(f"line {number}", found, ",".join(COLUMNS), str(error))
    if not rows and left_out.problems:
        raise ValueError(left_out.remarks()[0])
    return rows, left_out


def _csv_lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the fields of each line that is not empty.

    No row goes on in another line, so that a quote that is never closed costs one row. What no
    reader of CSV takes is a field by itself.
    """
    for number, line in enumerate(io.StringIO(f"{text}\n", newline=None), start=1):
        try:
            yield from ((number, row) for row in csv.reader([line], skipinitialspace=True) if row)
        except csv.Error:
            yield number, [line[:FIELD]]


def _row(values: Mapping[str, str]) -> Row:
    """Return a row. Raises ValueError with what is wrong with it."""
    if absent := [name for name in COLUMNS if not values.get(name, "").strip()]:
        goes_on = any("\n" in value for value in values.values())
        unclosed = ": a quote is not closed" if goes_on else ""
        raise ValueError(f"no {', '.join(absent)}{unclosed}")
    label, youtube_id, split = (values[name].strip() for name in ("label", "youtube_id", "split"))
    start, end = (_seconds(name, values[name]) for name in ("time_start", "time_end"))
    if end < start:
        raise ValueError("time_end is before time_start")
    for name, text in (("label", label), ("youtube_id", youtube_id)):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{name} is no text in UTF-8") from error
    return Row(label, youtube_id, start, end, split)


def _seconds(name: str, text: str) -> int:
    try:
        seconds = int(float(text))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name} is no number") from error
    if seconds < 0:
        raise ValueError(f"{name} is negative")
    return seconds


UNPUBLISHED = "testing"
"""The subset of ActivityNet of which no annotations are published."""


class Annotated(NamedTuple):
    """A video of ActivityNet: its subset, and the distinct labels of its annotations, sorted."""

    subset: str
    labels: list[str]


def read_activitynet(path: Place) -> tuple[dict[str, Annotated], LeftOut]:
    """Return the videos of an annotation file of ActivityNet by their ids.

    A video without annotations, as those of the subset "testing", has no labels. Raises ValueError
    when the file is not JSON or not in the format of ActivityNet.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        database = json.loads(text, parse_int=_number)["database"].items()
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not in the format of ActivityNet, which is "
            '{"database": {id: {"subset": ..., "annotations": [{"label": ...}, ...]}}} '
            f"({type(error).__name__}: {error})"
        ) from error
    videos: dict[str, Annotated] = {}
    left_out = LeftOut(path)
    for video_id, entry in database:
        if not isinstance(entry, dict) or not isinstance(entry.get("subset"), str):
            left_out.add(f"video {video_id}", entry, 'an entry with a "subset"')
            continue
        annotations = entry.get("annotations")
        labels = set(_labels(video_id, annotations, left_out))
        if annotations in (None, []) and entry["subset"].casefold() != UNPUBLISHED:
            left_out.add(f"video {video_id}", annotations, "annotations")
        videos[video_id] = Annotated(entry["subset"], sorted(labels))
    return videos, left_out


def _number(text: str) -> float:
    """Return a number, none of which is used: one of 4300 digits would end the reading as int."""
    return int(text) if len(text) < FIELD else float(text)


def _labels(video_id: str, annotations: Any, left_out: LeftOut) -> Iterator[str]:
    where = f"video {video_id}"
    if annotations is None:
        return
    if not isinstance(annotations, list):
        left_out.add(where, annotations, "a list of annotations")
        return
    for one in annotations:
        label = one.get("label") if isinstance(one, dict) else None
        if isinstance(label, str) and label.strip():
            yield label.strip()
        else:
            left_out.add(where, one, 'an annotation with a "label"')
