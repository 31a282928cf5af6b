"""The journal of a search: what is written is what is read, whatever else is in the file."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.search.journal import SearchJournal
from orchestrator.search.records import (
    Asked,
    Attempt,
    Began,
    Closed,
    Ended,
    How,
    Left,
    Opened,
    Planned,
    Record,
    Reported,
    TrialState,
)
from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder

RECORDS: list[Record] = [
    Opened(
        1.0, "s-1", "delta_b", "max", ("method.lambda",), ("method.lambda",), 8, 2, "asha",
        "prior", 9, 1,
    ),
    Attempt(1.5, 1),
    Planned(2.0, "t001", {"method.lambda": 0.5, "model.blocks": [1, 2]}, "near"),
    Began(3.0, "t001s1", "group 1", 2),
    Reported(4.0, "t001s1", 1, 20, {"8bit": 91.5, "2bit": 80.0}, None),
    Left(5.0, "t001s1", How.PARKED),
    Asked(6.0, "t001", TrialState.STOPPED_EARLY, "41.2 < 43.0"),
    Ended(7.0, "t001", TrialState.FAILED, None, None, {}, None, 0, 0, "The loss is not finite."),
    Closed(8.0, "5 of 8 trials failed"),
]  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> SearchJournal:
    return SearchJournal(SearchFolder(RunFolder(tmp_path)))


def test_every_kind_of_record_is_read_as_it_was_written(journal: SearchJournal) -> None:
    for record in RECORDS:
        journal.append(record)
    assert journal.read().records == RECORDS


def test_reading_goes_on_behind_the_mark(journal: SearchJournal) -> None:
    assert journal.read() == ([], 0)
    journal.append(RECORDS[0])
    mark = journal.read().mark
    journal.append(RECORDS[1])
    assert journal.read(mark).records == [RECORDS[1]]


def test_lines_of_another_version_are_skipped(journal: SearchJournal, tmp_path: Path) -> None:
    journal.append(RECORDS[1])
    with (tmp_path / "search.jsonl").open("a") as file:
        for line in (
            {"is": "promoted", "time": 2.0, "trial": "t001"},
            {"is": "attempt", "time": "soon", "number": 2},
            {"time": 2.0, "number": 2},
            {"is": ["attempt"], "time": 2.0, "number": 2},
            [1],
        ):
            file.write(json.dumps(line) + "\n")
        file.write(json.dumps({"is": "attempt", "time": 3.0, "number": 3, "host": "a"}) + "\n")
    assert journal.read().records == [RECORDS[1], Attempt(3.0, 3)]


def test_only_a_journal_that_does_not_begin_as_one_is_mended(
    journal: SearchJournal, tmp_path: Path
) -> None:
    opened = replace(RECORDS[0], time=0.0)
    journal.mend(opened)
    assert not (tmp_path / "search.jsonl").exists()
    for record in RECORDS:
        journal.append(record)
    journal.mend(opened)
    assert journal.read().records == RECORDS
    content = (tmp_path / "search.jsonl").read_bytes()
    (tmp_path / "search.jsonl").write_bytes(content[9:])
    journal.mend(opened)
    assert journal.read().records == [replace(RECORDS[0], time=1.5), *RECORDS[1:]]


def test_only_what_cannot_be_found_out_again_waits_for_the_disk(
    journal: SearchJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Record] = []
    for record in RECORDS:
        monkeypatch.setattr(os, "fsync", lambda _, record=record: synced.append(record))
        journal.append(record)
    assert [type(record) for record in synced] == [Opened, Planned, Ended]  # the file's name first
