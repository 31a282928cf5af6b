"""The frames that are asked for come, in every coded form of which decoders lose count."""

import os
import shutil
import struct
import subprocess
import sys
import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any

import decord
import numpy as np
import pytest

from tests.video.boxes import Edit, edited, number, renamed
from tests.video.numbered import COUNT, FORMS, numbers_in, picture
from video import BrokenVideo, decode, reasons, slices
from video.decode import every_frame, frames, probe
from video.index import IndexFolder, Way, packed, unpacked
from video.recode import Tool, read_otherwise
from video.slices import Slice, cut, pieces

WAYS = {
    Way.SEEK: ["fragments.mp4", "closed.mkv", "vp9.webm", "mpeg4.avi"],
    Way.IN_ORDER: ["refresh.mkv", "b-frames.avi", "program.mpg"],
}
BLACK = ["black-open.mkv", "black-b-frames.avi", "black.mpg"]
OTHERS = ["trimmed.mp4", "transport.ts", *BLACK]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of videos of all forms."""
    folder = tmp_path_factory.mktemp("numbered")
    subprocess.run([sys.executable, "-m", "tests.video.numbered", folder], check=True)
    return folder


@pytest.mark.parametrize("name", sorted(FORMS.keys() - OTHERS))
def test_each_frame_shows_the_number_that_was_asked_for(written: Path, name: str) -> None:
    path = written / name
    index = probe(path)
    [way] = [way for way, names in WAYS.items() if name in names] or [Way.SLICES]
    assert (index.frames, index.way) == (COUNT, way)
    scattered = np.random.default_rng(0).permutation(COUNT)[:16].tolist()
    for asked in ([0, COUNT - 1, 24, 23, 25, 48, 47, 57, 57], [COUNT - 1], [1], scattered):
        assert numbers_in(frames(path, unpacked(packed(index)), asked)) == asked


@pytest.mark.parametrize("name", sorted(FORMS.keys() - OTHERS))
def test_every_frame_comes_once_and_in_order(written: Path, name: str) -> None:
    shown = np.stack(list(every_frame(written / name, probe(written / name))))
    assert numbers_in(shown) == list(range(COUNT))


@pytest.mark.parametrize("kind", [b"mvhd", b"tkhd"])
@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (-1, 0, 0, -1), (-1, 0, 0, 1), (0, 0, 0, 0)])
def test_frames_are_turned_as_the_whole_file_is(
    videos: list[Path], tmp_path: Path, kind: bytes, matrix: tuple[int, ...]
) -> None:
    at = 36 if kind == b"mvhd" else 40
    edits = zip((0, 4, 12, 16), matrix, strict=True)
    turns = [number(kind, at + place, value << 16 & 0xFFFFFFFF) for place, value in edits]
    path = edited(videos[0], tmp_path, *turns)
    index = unpacked(packed(probe(path)))
    reader = decord.VideoReader(str(path), num_threads=1)
    expected = np.stack([reader.next().asnumpy() for _ in range(16)])
    assert np.array_equal(frames(path, index, [3, 9, 15]), expected[[3, 9, 15]])
    other = np.stack(list(read_otherwise(path, Tool.PYAV)))[:16].astype(int)
    mirrored = expected[:, ::-1] if matrix == (-1, 0, 0, 1) else expected  # decord turns it by 180
    assert np.abs(other - mirrored).mean() < 2


def test_narrow_frames_that_a_turn_spoils_are_named(written: Path, tmp_path: Path) -> None:
    turns = [number(b"tkhd", at, 0) for at in (40, 56)]
    turns += [number(b"tkhd", 44, 1 << 16), number(b"tkhd", 52, 0xFFFF << 16)]
    path = edited(written / "closed.mp4", tmp_path, *turns)
    with pytest.raises(BrokenVideo):
        frames(path, probe(path), [5])
    with pytest.raises(BrokenVideo, match="turned frames of 48 pixels in a row come distorted"):
        next(every_frame(path, probe(path)))


def test_frames_of_another_size_are_as_large_as_the_first_one(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written / "shrinking.mov"
    reader = decord.VideoReader(str(path), num_threads=1)
    expected = np.stack([reader.next().asnumpy() for _ in range(COUNT)])
    index = probe(path)
    for asked in ([119], [60, 61], [59, 60], [3, 118]):
        assert np.array_equal(frames(path, index, asked), expected[asked])
    monkeypatch.setattr(decode, "pieces", partial(pieces, most=1))
    assert np.array_equal(np.stack(list(every_frame(path, index))), expected)


def test_frames_that_another_tool_reads_are_as_large_as_the_first_one(written: Path) -> None:
    shown = np.stack(list(read_otherwise(written / "shrinking.mov", Tool.PYAV)))
    assert numbers_in(shown) == list(range(COUNT))


def test_the_frames_of_a_large_table_are_read_in_runs_of_whole_groups(written: Path) -> None:
    table = probe(written / "closed.mp4").table
    assert table is not None
    runs = list(pieces(table, most=1))
    assert [run[0] for run in runs] == [0, 24, 48, 72, 96]
    assert [number for run in runs for number in run] == list(range(COUNT))
    assert len(list(pieces(table, most=1 << 30))) == 1


def test_frames_that_an_edit_list_cuts_off_are_not_counted(written: Path) -> None:
    path = written / "trimmed.mp4"
    trim(path, first=30, count=50)
    index = probe(path)
    assert (index.frames, index.way) == (50, Way.SLICES)
    assert numbers_in(frames(path, index, [49, 0, 20])) == [79, 30, 50]
    assert numbers_in(np.stack(list(every_frame(path, index)))) == list(range(30, 80))


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (renamed(b"stsz", b"stz2"), "its sizes are in a compact table"),
        (number(b"elst", 16, 2 << 16), "it has an edit that changes its speed"),
    ],
)
def test_an_edit_list_is_not_left_to_a_decoder_that_counts_what_it_cuts(
    written: Path, tmp_path: Path, edit: Edit, reason: str
) -> None:
    path = edited(written / "closed.mp4", tmp_path, edit)
    if b"stsz" in path.read_bytes():  # the other table decord cannot read
        assert numbers_in(np.stack(list(every_frame(path, probe(path))))) == list(range(COUNT))
    trim(path, first=30, count=50)
    with pytest.raises(BrokenVideo, match=f"{reason}, and an edit list .*orch data prepare"):
        probe(path)


def test_an_edit_that_shows_nothing_has_no_speed(written: Path, tmp_path: Path) -> None:
    path = edited(written / "closed.mp4", tmp_path)
    trim(path, first=30, count=50)
    content = bytearray(path.read_bytes())
    for kind in (b"moov", b"trak", b"edts", b"elst"):  # the table is at the end of the file
        at = content.index(kind) - 4
        content[at : at + 4] = (int.from_bytes(content[at : at + 4]) + 12).to_bytes(4)
    edits = at + 16
    content[edits - 4 : edits] = (2).to_bytes(4) + struct.pack(">Iii", 40, -1, 0)
    path.write_bytes(content)
    index = probe(path)
    assert (index.frames, index.way) == (50, Way.SLICES)
    assert numbers_in(frames(path, index, [0, 49])) == [30, 79]


def trim(path: Path, first: int, count: int) -> None:
    """Let the edit list of a video of 25 frames a second show only some frames, not recoded."""
    content = bytearray(path.read_bytes())
    movie = int.from_bytes(content[(at := content.index(b"mvhd") + 16) : at + 4])
    track = int.from_bytes(content[(at := content.index(b"mdhd") + 16) : at + 4])
    entry = content.index(b"elst") + 12
    start = int.from_bytes(content[entry + 4 : entry + 8]) + first * track // 25
    content[entry : entry + 8] = (count * movie // 25).to_bytes(4) + start.to_bytes(4)
    path.write_bytes(content)


def test_a_file_that_is_cut_off_has_the_frames_before_the_cut(
    written: Path, tmp_path: Path
) -> None:
    path = tmp_path / "cut.mp4"
    content = (written / "table-first.mp4").read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    index = probe(path)
    assert 24 < index.frames < COUNT
    asked = [index.frames - 1, 0, 24]
    shown = numbers_in(frames(path, index, asked))
    assert shown[1:] == [0, 24]
    assert index.frames - 1 <= shown[0] <= index.frames + 3  # B-frames that come later are cut off


def test_a_beginning_that_is_far_back_is_sought_once(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = edited(written / "one-key.mp4", tmp_path, renamed(b"stss"))
    index = probe(path)
    assert index.table is not None
    assert len(index.table.starts) > 10
    read, pread = [0], os.pread

    def counted(*rest: int) -> bytes:
        read.append(len(content := pread(*rest)))
        return content

    monkeypatch.setattr(slices.os, "pread", counted)
    assert numbers_in(frames(path, index, [118])) == [118]
    assert numbers_in(np.stack(list(every_frame(path, index)))) == list(range(COUNT))
    assert sum(read) < 3 * path.stat().st_size


def test_frames_that_do_not_fit_into_memory_together_are_read_in_parts(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written / "closed.mp4"
    index = probe(path)
    asked = [3, 20, 30, 47, 60, 100, 119]
    expected = frames(path, index, asked)
    lengths: list[int] = []

    def cut_and_measured(*rest: Any) -> Slice:
        lengths.append(len((small := cut(*rest)).content))
        return small

    monkeypatch.setattr(decode, "cut", cut_and_measured)
    monkeypatch.setattr(decode, "_open", None)
    monkeypatch.setattr(slices, "MAX_BYTES", limit := 5000)
    assert np.array_equal(frames(path, index, asked), expected)
    assert len(lengths) > 1
    assert max(lengths) < limit + 2000  # with a table


@pytest.mark.parametrize(("name", "limit"), [("MIN_WIDTH", 193), ("MAX_PIXELS", 48 * 191)])
def test_the_size_of_frames_without_a_table_is_looked_at_too(
    written: Path, monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    monkeypatch.setattr(reasons, name, limit)
    with pytest.raises(BrokenVideo, match=r"192 (pixels wide|x 48 pixels)"):
        probe(written / "closed.mkv")


@pytest.mark.parametrize("name", ["closed.mp4", "hevc.mp4", "mpeg4.mp4"])
def test_b_frames_without_a_table_of_delays_are_read_in_order(
    written: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    content = (written / name).read_bytes().replace(b"ctts", b"free")
    path.write_bytes(content)  # with an edit list that begins after the delay
    with pytest.raises(BrokenVideo, match="its edit list counts frames"):
        probe(path)
    path.write_bytes(content.replace(b"edts", b"free"))
    index = probe(path)
    assert index.way is Way.IN_ORDER
    assert numbers_in(frames(path, index, [1, 2, 50, 97])) == [1, 2, 50, 97]


@pytest.mark.parametrize("name", ["vp9.mp4", "mpeg4-plain.mp4"])
def test_samples_that_are_not_said_to_need_others_are_not_believed_to_need_none(
    written: Path, tmp_path: Path, name: str
) -> None:
    assert probe(written / name).way is Way.SLICES
    path = edited(written / name, tmp_path, renamed(b"stss"))
    index = probe(path)
    assert (index.frames, index.way) == (COUNT, Way.IN_ORDER)
    assert numbers_in(frames(path, index, [1, 2, 50, 97])) == [1, 2, 50, 97]


@pytest.mark.parametrize("name", BLACK)
def test_a_beginning_that_stands_still_does_not_tell_where_jumps_end(
    written: Path, name: str
) -> None:
    path = written / name
    index = probe(path)
    assert (index.frames, index.way) == (COUNT, Way.IN_ORDER)
    asked = [*range(82, 87), 119]
    assert numbers_in(frames(path, index, asked)) == asked
    assert [numbers_in(frames(path, index, [one]))[0] for one in asked] == asked


def test_no_more_than_a_few_pictures_are_compared_at_a_time(written: Path) -> None:
    probe(written / "closed.mkv")  # with what is imported and made only once
    tracemalloc.start()
    try:
        assert probe(written / "closed.mkv").way is Way.SEEK
        assert tracemalloc.get_traced_memory()[1] < 6 * picture(0).nbytes
    finally:
        tracemalloc.stop()


def test_a_transport_stream_is_refused_with_the_way_out(written: Path, tmp_path: Path) -> None:
    whole = (written / "transport.ts").read_bytes()
    packets = [whole[at : at + 188] for at in range(0, len(whole), 188)]
    forms = {
        "whole.ts": whole,
        "begins-within-a-packet.ts": whole[100:],
        "of-192-bytes.m2ts.mpg": b"".join(b"time" + packet for packet in packets),
        "of-204-bytes.ts": b"".join(packet + b"sixteen bytes..." for packet in packets),
    }
    for name, content in forms.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(BrokenVideo, match="an MPEG transport stream"):
            probe(path)


def test_an_index_is_kept_until_its_file_changes(written: Path, tmp_path: Path) -> None:
    path = tmp_path / "kept.mp4"
    shutil.copyfile(written / "closed.mp4", path)
    kept = IndexFolder(tmp_path / "indices")
    assert kept.get(path) is None
    index = probe(path)
    kept.put(path, index)
    again = kept.get(path)
    assert again is not None
    assert packed(again) == packed(index)
    assert numbers_in(frames(path, again, [7, 99])) == [7, 99]
    [file] = (tmp_path / "indices").rglob("*.index")
    assert file.stat().st_size < 3000
    file.write_bytes(file.read_bytes()[:-40])
    assert kept.get(path) is None
    path.write_bytes(path.read_bytes() + b"x")
    assert kept.get(path) is None
