"""Packs: frames by their video's numbers, each from its own part of the video; damage is seen."""

from pathlib import Path

import numpy as np
import pytest

from tests.video.numbered import numbers_in, picture
from video import BrokenVideo
from video.decode import every_frame, frames, probe
from video.index import Index, Way, packed, unpacked
from video.pack import chosen, write_pack
from video.sampling import random_frames, segment_centers


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of 36 of 251 frames: 9 for each of 4 segments."""
    path = tmp_path_factory.mktemp("packs") / "video.pack"
    write_pack(path, 251, ((n, picture(n)) for n in chosen(251, 36)), quality=90)
    return path


def test_a_test_clip_is_that_of_the_video_itself(pack: Path) -> None:
    index = probe(pack)
    assert (index.frames, index.way) == (251, Way.PICTURES)
    for segments in (4, 12):
        asked = segment_centers(251, segments)
        assert numbers_in(frames(pack, unpacked(packed(index)), asked)) == asked


def test_a_random_frame_stands_for_one_of_its_own_segment(pack: Path) -> None:
    generator = np.random.default_rng(0)
    edges = np.arange(5) * 251 // 4
    for _ in range(50):
        shown = np.array(numbers_in(frames(pack, probe(pack), random_frames(251, 4, generator))))
        assert ((edges[:-1] <= shown) & (shown < edges[1:])).all()


@pytest.mark.parametrize("count", [35, 36, 37, 71, 72, 73, 100, 149])
def test_a_test_clip_is_exact_whatever_the_number_of_frames(count: int, tmp_path: Path) -> None:
    path = tmp_path / "video.pack"
    write_pack(path, count, ((n, picture(n)) for n in chosen(count, 36)), quality=90)
    asked = segment_centers(count, 4)
    assert numbers_in(frames(path, probe(path), asked)) == asked


def test_a_short_video_is_kept_whole(tmp_path: Path) -> None:
    path = tmp_path / "short.pack"
    write_pack(path, 5, ((n, picture(n)) for n in chosen(5, 36)), quality=90)
    assert numbers_in(np.stack(list(every_frame(path, probe(path))))) == [0, 1, 2, 3, 4]
    assert numbers_in(frames(path, probe(path), [4, 0, 4])) == [4, 0, 4]
    with pytest.raises(BrokenVideo, match="it has 5 frames"):
        frames(path, probe(path), [5])


def test_pictures_that_differ_in_size_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "UPPER.PACK"
    write_pack(path, 2, [(0, picture(0)), (1, picture(1)[::2])], quality=90)
    assert frames(path, probe(path), [1]).shape == (1, 24, 192, 3)
    with pytest.raises(BrokenVideo, match="differ in size"):
        frames(path, probe(path), [0, 1])


def test_damage_is_named_wherever_it_is(pack: Path, tmp_path: Path) -> None:
    whole = pack.read_bytes()
    broken = tmp_path / "broken.pack"
    index = Index(251, Way.PICTURES)
    for place in (3, 12, 40, 500):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        broken.write_bytes(damaged)
        with pytest.raises(BrokenVideo, match=r"no pack|a pack of version|table is damaged"):
            probe(broken)
    for content in (whole[:-3], whole[:-3] + b"abc"):
        broken.write_bytes(content)
        assert numbers_in(frames(broken, probe(broken), [3])) == [3]
        with pytest.raises(BrokenVideo, match="the picture of frame 247 is damaged"):
            frames(broken, index, [250])
    broken.write_bytes(whole[:100])
    with pytest.raises(BrokenVideo, match="table is damaged"):
        probe(broken)
