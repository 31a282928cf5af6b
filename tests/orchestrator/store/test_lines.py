"""JSON lines of a writer that may be killed at any moment."""

import resource
import signal
from pathlib import Path

import pytest

from orchestrator.store.disk import DiskLines
from orchestrator.store.lines import Lines


@pytest.mark.parametrize("durable", [True, False])
def test_what_is_appended_is_read_in_order(tmp_path: Path, durable: bool) -> None:
    lines = Lines(DiskLines(tmp_path / "lines"))
    for value in ({"a": 1}, [2], "three"):
        lines.append(value, durable=durable)
    assert lines.read().values == [{"a": 1}, [2], "three"]


@pytest.mark.parametrize("left", range(1, 9))
def test_a_line_cut_anywhere_does_not_count_and_makes_room_for_the_next(
    tmp_path: Path, left: int
) -> None:
    file = tmp_path / "lines"
    lines = Lines(DiskLines(file))
    lines.append({"a": 1}, durable=True)
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"a": 2}'[:left])
    assert lines.read()[:2] == ([{"a": 1}], len(whole))
    lines.append({"a": 3}, durable=True)
    assert lines.read().values == [{"a": 1}, {"a": 3}]


def test_a_file_whose_only_line_is_torn_begins_afresh(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b'{"a')
    Lines(DiskLines(tmp_path / "lines")).append(1, durable=False)
    assert (tmp_path / "lines").read_bytes() == b"1\n"


def test_reading_goes_on_behind_the_mark(tmp_path: Path) -> None:
    lines = Lines(DiskLines(tmp_path / "lines"))
    assert lines.read()[:2] == ([], 0)
    lines.append(1, durable=False)
    mark = lines.read().mark
    lines.append(2, durable=False)
    assert lines.read(mark)[:2] == ([2], lines.size())
    assert lines.read(lines.size())[:2] == ([], lines.size())


def test_what_is_not_json_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"1\n\0\0\n\xff\n" + b"[" * 100_000 + b"\n2\n")
    assert Lines(DiskLines(tmp_path / "lines")).read().values == [1, 2]


def test_a_first_line_comes_before_all_that_is_there(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"\0\0\n2\n3")
    Lines(DiskLines(file)).put_first({"a": 1})
    assert file.read_bytes() == b'{"a": 1}\n\0\0\n2\n3'


def test_a_line_that_finds_no_room_is_an_error_and_does_not_count(tmp_path: Path) -> None:
    lines = Lines(DiskLines(tmp_path / "lines"))
    lines.append(1, durable=False)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError, match="lines"):
            lines.append("more than there is room for", durable=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert lines.read().values == [1]
    lines.append(2, durable=False)
    assert lines.read().values == [1, 2]
