"""The journal of a search: its records as JSON lines, {"is": "planned", "trial": "t001", ...}."""

from dataclasses import replace
from typing import NamedTuple, get_args

from orchestrator.search.records import Ended, Opened, Planned, Record
from orchestrator.store.lines import Lines
from orchestrator.store.search_folder import SearchFolder
from orchestrator.typed_json import Values, made_of, plain

_KINDS: dict[str, type[Record]] = {kind.__name__.lower(): kind for kind in get_args(Record)}


class Read(NamedTuple):
    """The records of a journal behind a mark, and the mark behind the last of them."""

    records: list[Record]
    mark: int


class SearchJournal:
    """All that was decided and reported, in order; one driver writes, others may read."""

    def __init__(self, folder: SearchFolder) -> None:
        self._lines = Lines(folder.journal)

    def append(self, record: Record) -> None:
        """Write a record. Raises OSError.

        Only what could not be found out again is forced to the disk: a crash of the machine may
        take the other last lines, and the runs' own folders still have what they said.
        """
        self._lines.append(_line(record), durable=isinstance(record, Planned | Ended))

    def mend(self, opened: Opened) -> None:
        """Write the first line again if it is damaged, before the others. Raises OSError."""
        records = self.read().records
        if records and not isinstance(records[0], Opened):
            self._lines.put_first(_line(replace(opened, time=records[0].time)))

    def read(self, start: int = 0) -> Read:
        """Return the records behind a mark; lines that another version wrote are skipped."""
        found = self._lines.read(start)
        records = map(_record, found.values)
        return Read([record for record in records if record], found.mark)


def _line(record: Record) -> Values:
    return {"is": type(record).__name__.lower(), **plain(record)}


def _record(value: object) -> Record | None:
    if not isinstance(value, dict):
        return None
    try:
        return made_of(_KINDS[str(value.get("is"))], value)
    except (KeyError, ValueError):
        return None
