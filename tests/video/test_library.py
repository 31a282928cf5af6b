"""What is known of videos: found out once by all processes, never for longer than it is true."""

import os
import shutil
from pathlib import Path

import pytest

from video import BrokenVideo, decode, library
from video.index import Index
from video.library import Library, cache_folder


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The videos that were looked into."""
    asked: list[Path] = []

    def probe(path: Path) -> Index:
        asked.append(path)
        return decode.probe(path)

    monkeypatch.setattr(library, "probe", probe)
    return asked


@pytest.fixture
def video(videos: list[Path], tmp_path: Path) -> Path:
    return Path(shutil.copyfile(videos[0], tmp_path / "v_0.mp4"))


def test_a_video_is_looked_into_once_also_by_another_process(
    video: Path, probed: list[Path]
) -> None:
    assert [Library().index(video).frames for _ in range(3)] == [16, 16, 16]
    assert probed == [video]


def test_a_broken_video_is_remembered_until_it_changes(
    video: Path, videos: list[Path], probed: list[Path]
) -> None:
    video.write_text("no video " * 100)
    for _ in range(2):
        with pytest.raises(BrokenVideo, match=r"v_0\.mp4: cannot be opened"):
            Library().index(video)
    assert probed == [video]
    shutil.copyfile(videos[0], video)
    assert Library().index(video).frames == 16


def test_what_a_disk_hides_for_a_while_is_not_remembered(video: Path, videos: list[Path]) -> None:
    known = Library()
    video.unlink()
    with pytest.raises(BrokenVideo, match=r"cannot be read \(No such file or directory\)"):
        known.index(video)
    shutil.copyfile(videos[0], video)
    assert known.index(video).frames == 16


def test_a_pipe_or_a_device_is_named_and_not_waited_for(tmp_path: Path) -> None:
    pipe, device = tmp_path / "pipe.mp4", tmp_path / "device.mp4"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    held = os.open(pipe, os.O_RDWR)
    try:
        for video in (pipe, device, tmp_path):
            with pytest.raises(BrokenVideo, match=r"cannot be read \(it is no regular file\)"):
                Library().index(video)
    finally:
        os.close(held)


@pytest.mark.parametrize("reason", ["Resource temporarily unavailable", "Cannot allocate memory"])
def test_what_a_shortage_hides_for_a_while_is_not_remembered(
    video: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    def reader(*_: object, **__: object) -> None:
        raise decode.decord.DECORDError(f"[11:02:03] a.cc:7: it says: {reason}\n  trace")

    content = video.read_bytes()
    video.write_bytes(content.replace(b"moov", b"free"))  # which FFmpeg reads all the same
    with monkeypatch.context() as short:
        short.setattr(decode.decord, "VideoReader", reader)
        with pytest.raises(BrokenVideo, match=rf"cannot be opened \(it says: {reason}\)"):
            Library().index(video)
    assert Library().index(video).frames == 16


def test_videos_are_read_also_where_nothing_can_be_kept(
    video: Path, monkeypatch: pytest.MonkeyPatch, probed: list[Path]
) -> None:
    monkeypatch.setenv("ORCH_CACHE", str(video / "no-folder"))
    assert [Library().index(video).frames for _ in range(2)] == [16, 16]
    assert probed == [video, video]


def test_the_cache_is_among_the_users_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_CACHE", "/scratch/mine")
    assert cache_folder() == Path("/scratch/mine")
    monkeypatch.delenv("ORCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/orch")
