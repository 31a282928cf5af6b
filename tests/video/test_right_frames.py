"""The frames that are asked for come, in every coded form of which decoders lose count."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.video.numbered import numbers_in, write_video
from video import BrokenVideo
from video.decode import frames, probe
from video.index import IndexFolder, Way, packed, unpacked

COUNT = 120
B_FRAMES = "bframes=3:b-pyramid=normal:ref=3:scenecut=0"
REFRESH = "intra-refresh=1:keyint=24:bframes=0"
IRREGULAR = [4 * number + number % 3 + (50 if number > 60 else 0) for number in range(COUNT)]
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
Write = Callable[..., Path]

FORMS = {
    "closed.mp4": (Way.SLICES, {"g": 24, "x264_params": B_FRAMES}),
    "open.mp4": (Way.SLICES, {"g": 24, "x264_params": f"{B_FRAMES}:open-gop=1"}),
    "refresh.mp4": (Way.SLICES, {"x264_params": REFRESH}),
    "one-key.mp4": (Way.SLICES, {"g": 600, "bf": 3}),
    "irregular.mp4": (Way.SLICES, {"g": 24, "bf": 3, "times": IRREGULAR}),
    "mpeg4.mp4": (Way.SLICES, {"codec": "mpeg4", "g": 24, "bf": 2, "b": 800000}),
    "jpeg.mov": (Way.SLICES, {"codec": "mjpeg", "pixels": "yuvj420p"}),
    "hevc.mp4": (Way.SLICES, {"codec": "libx265", "g": 24, "x265_params": "log-level=none"}),
    "hevc-open.mp4": (
        Way.SLICES,
        {"codec": "libx265", "x265_params": "log-level=none:keyint=24:open-gop=1:bframes=3"},
    ),
    "fragments.mp4": (Way.SEEK, {"g": 24, "bf": 3, "container": FRAGMENTS}),
    "closed.mkv": (Way.SEEK, {"g": 24, "x264_params": B_FRAMES}),
    "refresh.mkv": (Way.IN_ORDER, {"x264_params": REFRESH}),
    "vp9.webm": (Way.SEEK, {"codec": "libvpx-vp9", "g": 24, "b": 500000}),
    "mpeg4.avi": (Way.SEEK, {"codec": "mpeg4", "g": 24, "bf": 0, "b": 800000}),
    "b-frames.avi": (Way.IN_ORDER, {"codec": "mpeg4", "g": 24, "bf": 2, "b": 800000}),
    "program.mpg": (Way.IN_ORDER, {"codec": "mpeg2video", "g": 12, "bf": 2, "b": 2000000}),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Write:
    folder = tmp_path_factory.mktemp("numbered")
    return lambda name, **options: write_video(folder / name, COUNT, **options)


@pytest.mark.parametrize("name", FORMS)
def test_each_frame_shows_the_number_that_was_asked_for(written: Write, name: str) -> None:
    way, options = FORMS[name]
    path = written(name, **options)
    index = probe(path)
    assert (index.frames, index.way) == (COUNT, way)
    scattered = np.random.default_rng(0).permutation(COUNT)[:16].tolist()
    for asked in ([0, COUNT - 1, 24, 23, 25, 48, 47, 57, 57], [COUNT - 1], [1], scattered):
        assert numbers_in(frames(path, unpacked(packed(index)), asked)) == asked


def test_frames_that_an_edit_list_cuts_off_are_not_counted(written: Write) -> None:
    path = written("trimmed.mp4", g=24, bf=3)
    trim(path, first=30, count=50)
    index = probe(path)
    assert (index.frames, index.way) == (50, Way.SLICES)
    assert numbers_in(frames(path, index, [49, 0, 20])) == [79, 30, 50]


def trim(path: Path, first: int, count: int) -> None:
    """Let the edit list of a video of 25 frames a second show only some frames, not recoded."""
    content = bytearray(path.read_bytes())
    movie = int.from_bytes(content[(at := content.index(b"mvhd") + 16) : at + 4])
    track = int.from_bytes(content[(at := content.index(b"mdhd") + 16) : at + 4])
    entry = content.index(b"elst") + 12
    start = int.from_bytes(content[entry + 4 : entry + 8]) + first * track // 25
    content[entry : entry + 8] = (count * movie // 25).to_bytes(4) + start.to_bytes(4)
    path.write_bytes(content)


def test_a_file_that_is_cut_off_has_the_frames_before_the_cut(written: Write) -> None:
    path = written("cut.mp4", g=24, bf=3, container={"movflags": "faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    index = probe(path)
    assert 24 < index.frames < COUNT
    asked = [index.frames - 1, 0, 24]
    shown = numbers_in(frames(path, index, asked))
    assert shown[1:] == [0, 24]
    assert index.frames - 1 <= shown[0] <= index.frames + 3  # B-frames that come later are cut off


def test_a_transport_stream_is_refused_with_the_way_out(written: Write) -> None:
    with pytest.raises(BrokenVideo, match="an MPEG transport stream"):
        probe(written("stream.ts", g=24))


def test_an_index_is_kept_until_its_file_changes(written: Write, tmp_path: Path) -> None:
    path = written("kept.mp4", g=24, bf=3)
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
