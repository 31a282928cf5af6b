"""What all video data sets share, on clips of the repository."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from video import BrokenVideo
from video.clips import Clip, ClipDataset, ClipSettings, find_videos, too_many_missing


def dataset(clips: list[Clip], *, train: bool = True, **settings: object) -> ClipDataset:
    return ClipDataset(
        ClipSettings(root="", crop=24, test_scale=32, **settings),
        class_names=["a", "b", "c"],
        clips=clips,
        train=train,
        num_segments=3,
    )


def clips_of(videos: list[Path]) -> list[Clip]:
    return [Clip(path=path, found=True, labels=(i % 3,)) for i, path in enumerate(videos)]


def test_a_clip_is_loaded_in_the_promised_shape(videos: list[Path]) -> None:
    data = dataset(clips_of(videos))
    for generator in (None, np.random.default_rng(0)):
        clip = data.load(0, generator)
        assert clip.shape == data.sample_shape == (3, 3, 24, 24)
        assert clip.dtype == torch.uint8
        assert clip.is_contiguous()


def test_the_generator_decides_the_training_clip(videos: list[Path]) -> None:
    data = dataset(clips_of(videos))
    first, again, other = (data.load(0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(data.load(0, None), data.load(0, None))


def test_clips_are_not_mirrored_when_the_job_says_so(videos: list[Path]) -> None:
    still = dataset(clips_of(videos), flip=False, crop_scales=(1.0,))
    mirrored = dataset(clips_of(videos), flip=True, crop_scales=(1.0,))
    pairs = [
        (still.load(0, np.random.default_rng(seed)), mirrored.load(0, np.random.default_rng(seed)))
        for seed in range(20)
    ]
    same = [torch.equal(a, b) for a, b in pairs]
    assert any(same)
    assert not all(same)
    assert all(torch.equal(a, b) or torch.equal(a.flip(-1), b) for a, b in pairs)


def test_the_label_is_the_lowest_and_the_targets_are_all(videos: list[Path]) -> None:
    data = dataset([Clip(path=videos[0], found=True, labels=(2, 1))])
    assert data.label(0) == 1
    assert sorted(data.targets(0)) == [1, 2]


def test_a_missing_video_is_counted_and_is_broken_when_loaded(videos: list[Path]) -> None:
    absent = Clip(path=Path("videos/v_x.*"), found=False, labels=(0,))
    data = dataset([*clips_of(videos[:3]), absent])
    assert (len(data), data.num_missing) == (4, 1)
    with pytest.raises(BrokenVideo, match="no such file"):
        data.load(3, None)
    assert too_many_missing(data, "training", 0.25) == []
    (message,) = too_many_missing(data, "training", 0.2)
    assert "1 of 4 training videos have no file" in message
    assert "v_x.*" in message


def test_a_limit_takes_clips_evenly_from_the_whole_list() -> None:
    clips = [Clip(path=Path(f"{i}.mp4"), found=True, labels=(i // 4,)) for i in range(12)]
    assert [dataset(clips, limit_train=3).label(i) for i in range(3)] == [0, 1, 2]
    assert len(dataset(clips, limit_train=3, train=False)) == 12
    assert len(dataset(clips, limit_val=5, train=False)) == 5
    assert [dataset(clips, limit_train=50).source(i) for i in (0, 11)] == ["0.mp4", "11.mp4"]


def test_videos_need_a_number_of_segments() -> None:
    with pytest.raises(ValueError, match=r"model\.num_segments"):
        ClipDataset(ClipSettings(root=""), class_names=[], clips=[], train=True, num_segments=None)


def test_settings_refuse_a_crop_larger_than_what_it_is_cut_from() -> None:
    with pytest.raises(ValidationError, match="set test_scale to at least the crop"):
        ClipSettings(root="", crop=300)
    with pytest.raises(ValidationError, match="above 0, at most 1"):
        ClipSettings(root="", crop_scales=(1.2,))


def test_videos_are_found_by_any_video_extension(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.MKV", "c.avi", "a.webm", "d.mp4.part", "e.json", "-f_g.mov"):
        (tmp_path / name).touch()
    found = {name: path.name for name, path in find_videos(tmp_path).items()}
    assert found == {"-f_g": "-f_g.mov", "a": "a.mp4", "b": "b.MKV", "c": "c.avi"}
