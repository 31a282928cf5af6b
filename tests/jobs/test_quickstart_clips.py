"""The quickstart clips: what the repository holds is what the script draws."""

import importlib.util
import json
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from video.activitynet import ActivityNet, ActivityNetSettings
from video.decode import frames, probe

FOLDER = Path(__file__).parents[2] / "jobs" / "quickstart"


@pytest.fixture(scope="module")
def make_clips() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_clips", FOLDER / "make_clips.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def subset(*, train: bool) -> ActivityNet:
    settings = ActivityNetSettings(root=str(FOLDER), metric="top1")
    return ActivityNet(settings, train=train, num_segments=8)


def test_every_clip_is_there_once_with_one_of_ten_digits() -> None:
    settings = ActivityNetSettings(root=str(FOLDER), max_broken_share=0)
    assert ActivityNet.missing(settings) == []
    train, val = subset(train=True), subset(train=False)
    assert train.class_names == [f"digit {digit}" for digit in range(10)]
    files = [data.source(i) for data in (train, val) for i in range(len(data))]
    assert Counter(map(Path, files)) == Counter((FOLDER / "videos").iterdir())
    for data, count in ((train, 1000), (val, 300)):
        of_class = Counter(data.label(i) for i in range(len(data)))
        assert len(data) == count
        assert min(of_class.values()) >= 0.09 * count


def test_the_clips_take_less_than_four_megabytes() -> None:
    sizes = [path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(sizes) < 4_000_000


def test_the_files_hold_the_frames_and_labels_that_the_script_draws(make_clips: ModuleType) -> None:
    content = json.loads((FOLDER / "activity_net.v1-3.min.json").read_text())
    digits = list(make_clips.choose_digits())
    assert [video_id for video_id, *_ in digits] == list(content["database"])
    for number in (0, 1, 500, 1000, 1299):
        video_id, where, image, digit = digits[number]
        assert content["database"][video_id] == make_clips.annotation(where, digit)
        generator = np.random.default_rng((make_clips.SEED, number))
        drawn = make_clips.draw_clip(image, generator).astype(float)
        path = FOLDER / "videos" / f"v_{video_id}.mp4"
        index = probe(path)
        stored = frames(path, index, range(index.frames)).astype(float)
        assert stored.shape == drawn.shape
        assert np.abs(stored - drawn).mean() < 12  # lossy, with colors at half resolution
        for order in (drawn[::-1], np.roll(drawn, 3, axis=0)):  # each frame at its own place
            assert np.abs(stored - drawn).mean() < np.abs(stored - order).mean()
