"""What a folder does, on a disk and in a bucket alike."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.store.folder import MARK, Folder
from orchestrator.store.lines import Lines
from orchestrator.store.place import folder_at


@pytest.fixture(params=["disk", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    place = tmp_path if request.param == "disk" else request.getfixturevalue("s3")
    found = folder_at(place) / "run-1"
    found.make()
    return found


def content(folder: Folder, name: str) -> bytes:
    return b"".join(folder.chunks(name))


def files(text: str) -> list[tuple[str, bytes]]:
    return [("a.bin", text.encode()), ("b.bin", b""), (MARK, b"{}")]


def test_a_file_is_replaced_found_and_removed(folder: Folder) -> None:
    assert not folder.exists("a")
    assert folder.written("a") is None
    with pytest.raises(FileNotFoundError):
        content(folder, "a")
    folder.remove("a")
    for text in (b"one", b"", b"three"):
        folder.write("a", text)
        assert content(folder, "a") == text
    assert folder.exists("a")
    assert folder.written("a") == pytest.approx(time.time(), abs=60)
    assert folder.is_there()
    folder.remove("a")
    assert not folder.exists("a")


def test_a_folder_knows_its_place(folder: Folder) -> None:
    assert folder.name == "run-1"
    assert (folder / "t").parent == folder
    assert folder_at(str(folder / "t")) == folder / "t"
    assert str(folder / "t") == f"{folder}/t"
    assert not (folder / "t").is_there()
    assert folder.unwritable() is None


def test_a_name_that_is_too_long_for_the_file_system_cannot_be_written(tmp_path: Path) -> None:
    problem = folder_at(tmp_path / ("n" * 300) / "runs").unwritable()
    assert str(problem).endswith("/runs cannot be written (File name too long)")


def test_a_folder_that_even_root_cannot_make_cannot_be_written(tmp_path: Path) -> None:
    assert str(folder_at("/proc/orch/runs").unwritable()).startswith("/proc cannot be written (")
    assert folder_at(tmp_path / "runs").unwritable() is None
    assert list(tmp_path.iterdir()) == []


def test_a_link_that_leads_nowhere_cannot_be_written(tmp_path: Path) -> None:
    link, loop = tmp_path / "link", tmp_path / "loop"
    link.symlink_to("unmounted/runs")
    loop.symlink_to("loop")
    lost = f"{link} is a link to {tmp_path.resolve()}/unmounted/runs, which is not there"
    for below in ("", "runs/tiny"):
        assert folder_at(link / below).unwritable() == lost
        assert folder_at(loop / below).unwritable() == f"{loop} is a link that leads in a circle"
    (tmp_path / "unmounted" / "runs").mkdir(parents=True)
    assert folder_at(link / "tiny").unwritable() is None


def test_whole_folders_are_listed_read_renamed_and_removed(folder: Folder) -> None:
    folder.write("c_", b"a file is no folder")
    for name in ("c_2", "c_10", "d_1"):
        folder.put(name, files(name))
    assert folder.folders("c_") == ["c_10", "c_2"]
    with (folder / "c_2").here() as here:
        assert {file.name for file in here.iterdir()} == {"a.bin", "b.bin", MARK}
        assert (here / "a.bin").read_bytes() == b"c_2"
    folder.rename("c_2", "damaged_c_2")
    folder.drop("c_10")
    assert folder.folders("c_") == []
    assert folder.folders("damaged_") == ["damaged_c_2"]
    assert content(folder / "damaged_c_2", "a.bin") == b"c_2"
    assert folder.folders("d_") == ["d_1"]


def test_folders_that_nobody_finishes_and_their_files_are_listed(folder: Folder) -> None:
    assert (folder.begun("t"), folder.files()) == ([], [])
    for name in ("t_2", "t_10", "u_1"):
        (folder / name).make()
        (folder / name).write("job.yaml", b"")
        (folder / name / "deeper").make()
        (folder / name / "deeper").write("x", b"")
    folder.write("t_file", b"a file is no folder")
    assert folder.begun("t_") == ["t_10", "t_2"]
    assert folder.files() == ["t_file"]
    assert (folder / "t_2").files() == ["job.yaml"]


def test_a_folder_takes_the_place_of_one_of_its_name(folder: Folder) -> None:
    for text in ("one", "two"):
        folder.put("c_1", files(text))
    assert folder.folders("c_") == ["c_1"]
    assert content(folder / "c_1", "a.bin") == b"two"


def test_a_folder_that_was_not_finished_does_not_count_and_is_swept_away(folder: Folder) -> None:
    def killed() -> list[tuple[str, bytes]]:
        yield "a.bin", b"half"
        raise KeyboardInterrupt

    folder.put("c_1", files("whole"))
    with pytest.raises(KeyboardInterrupt):
        folder.put("c_2", killed())
    assert folder.folders("c_") == ["c_1"]
    folder.sweep(["c_"])
    assert folder.folders("c_") == ["c_1"]
    assert not (folder / "c_2").is_there()
    with pytest.raises(KeyboardInterrupt):
        folder.put("c_1", killed())
    assert folder.folders("c_") == [] or content(folder / "c_1", "a.bin") == b"whole"


def test_lines_are_read_in_order_from_any_mark(folder: Folder) -> None:
    lines = Lines(folder.growing("metrics.jsonl"))
    assert lines.read()[:2] == ([], 0)
    marks = []
    for number in range(4):
        lines.append({"n": number}, durable=number % 2 == 0)
        marks.append(lines.read().mark)
    assert [value["n"] for value in lines.read().values] == [0, 1, 2, 3]
    assert marks[-1] == lines.size()
    again = Lines(folder.growing("metrics.jsonl"))
    again.append({"n": 4}, durable=True)
    for number, mark in enumerate(marks):
        assert [value["n"] for value in again.read(mark).values] == [*range(number + 1, 5)]
    again.put_first({"n": -1})
    assert [value["n"] for value in lines.read().values] == [-1, 0, 1, 2, 3, 4]
    assert folder.growing("metrics.jsonl").exists()
    assert not folder.growing("other.jsonl").exists()
    assert folder.growing("metrics.jsonl").written() == pytest.approx(time.time(), abs=60)
    assert folder.growing("other.jsonl").written() is None


def test_a_watch_sees_a_file_within_seconds(folder: Folder) -> None:
    seen = folder.watch(["stop", "other"])
    assert not seen()
    folder.write("other", b"")
    assert until(seen)
    fresh = folder.watch(["stop", "other"])
    assert fresh()


def until(so: Callable[[], bool]) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end and not so():
        time.sleep(0.05)
    return so()
