"""ActivityNet's annotations, from a small file in its format and from the real labels."""

import csv
import json
import lzma
from pathlib import Path

import pytest

from tests.real_data import activitynet_from_actions, real_data
from video.activitynet import ActivityNet, ActivityNetSettings


def entry(subset: str, *labels: str) -> dict[str, object]:
    annotations = [{"segment": [0.5, 2.0], "label": label} for label in labels]
    return {"subset": subset, "annotations": annotations, "duration": 9.0, "url": "https://..."}


DATABASE = {
    "one": entry("training", "Skiing", "Archery", "Skiing"),
    "two": entry("training", "Rafting"),
    "no-label": entry("training"),
    "three": entry("validation", "Archery"),
    "four": entry("validation", "Zumba"),
    "hidden": entry("testing"),
}


def write(folder: Path, database: object, files: tuple[str, ...]) -> ActivityNetSettings:
    content = {"version": "VERSION 1.3", "taxonomy": [], "database": database}
    (folder / "activity_net.v1-3.min.json").write_text(json.dumps(content))
    (folder / "videos").mkdir()
    for name in files:
        (folder / "videos" / name).touch()
    return ActivityNetSettings(root=str(folder), max_broken_share=0.5)


@pytest.fixture
def settings(tmp_path: Path) -> ActivityNetSettings:
    return write(tmp_path, DATABASE, ("v_one.mp4", "two.webm", "v_three.mkv"))


def test_each_subset_has_its_annotated_videos(settings: ActivityNetSettings) -> None:
    train = ActivityNet(settings, train=True, num_segments=3)
    val = ActivityNet(settings, train=False, num_segments=3)
    assert [Path(train.source(i)).name for i in range(len(train))] == ["v_one.mp4", "two.webm"]
    assert [Path(val.source(i)).name for i in range(len(val))] == ["v_three.mkv", "v_four.*"]
    assert (train.num_missing, val.num_missing) == (0, 1)


def test_subsets_are_those_of_their_names_however_they_are_written(tmp_path: Path) -> None:
    odd = {"five": entry("Training", "Zumba"), "six": entry("trian", "Zumba")}
    settings = write(tmp_path, DATABASE | odd, ())
    train = ActivityNet(settings, train=True, num_segments=3)
    assert len(train) == 3
    *_, remark = train.remarks
    assert "video six: expected the subset testing or training or validation, got 'trian'" in remark


def test_classes_are_the_sorted_labels_of_the_whole_file(settings: ActivityNetSettings) -> None:
    for train in (True, False):
        data = ActivityNet(settings, train=train, num_segments=3)
        assert data.class_names == ["Archery", "Rafting", "Skiing", "Zumba"]
        assert data.num_classes == 4


def test_a_video_with_two_labels_trains_on_the_lowest(settings: ActivityNetSettings) -> None:
    train = ActivityNet(settings, train=True, num_segments=3)
    assert train.label(0) == 0
    assert train.targets(0) == [0, 2]


def test_the_metric_is_a_setting(settings: ActivityNetSettings) -> None:
    assert ActivityNet(settings, train=True, num_segments=3).metric == "map"
    top1 = settings.model_copy(update={"metric": "top1"})
    assert ActivityNet(top1, train=True, num_segments=3).metric == "top1"


def test_nothing_is_missing_of_a_complete_data_set(settings: ActivityNetSettings) -> None:
    assert ActivityNet.missing(settings) == []


def test_missing_parts_are_named_with_their_place_and_source(tmp_path: Path) -> None:
    messages = ActivityNet.missing(ActivityNetSettings(root=str(tmp_path)))
    assert len(messages) == 2
    assert str(tmp_path / "activity_net.v1-3.min.json") in messages[0]
    assert str(tmp_path / "videos") in messages[1]
    assert all("http://activity-net.org" in message for message in messages)


def test_too_many_missing_videos_are_reported_before_a_run(settings: ActivityNetSettings) -> None:
    strict = settings.model_copy(update={"max_broken_share": 0.4})
    (message,) = ActivityNet.missing(strict)
    assert "1 of 2 validation videos have no file" in message


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{broken", "cannot be read as JSON"),
        ("[]", "not in the format of ActivityNet"),
        ('{"database": {"a": {"subset": "training"}}}', "no annotated video of the subset"),
        ('{"database": []}', "not in the format of ActivityNet"),
        ('{"database": {}}', "no annotated video of the subset"),
    ],
)
def test_unusable_annotations_are_named(tmp_path: Path, content: str, complaint: str) -> None:
    settings = write(tmp_path, {}, ())
    (tmp_path / settings.annotations).write_text(content)
    messages = ActivityNet.missing(settings)
    assert complaint in messages[0]
    assert str(tmp_path / settings.annotations) in messages[0]


def test_annotations_and_videos_may_lie_elsewhere(tmp_path: Path) -> None:
    write(tmp_path, DATABASE, ())
    (tmp_path / "elsewhere").mkdir()
    settings = ActivityNetSettings(
        root="/nowhere",
        annotations=str(tmp_path / "activity_net.v1-3.min.json"),
        videos=str(tmp_path / "elsewhere"),
        max_broken_share=1,
    )
    assert ActivityNet.missing(settings) == []
    assert ActivityNet(settings, train=True, num_segments=1).num_missing == 2


@pytest.mark.real
def test_real_labels_give_the_published_classes_and_counts(tmp_path: Path) -> None:
    folder = real_data() / "metadata" / "activitynet"
    with lzma.open(folder / "video_info_new.csv.xz", "rt", newline="") as file:
        subsets = {row["video"]: row["subset"] for row in csv.DictReader(file)}
    with lzma.open(folder / "anet_anno_action.json.xz", "rt") as file:
        annotated = json.load(file)
    database = {
        name.removeprefix("v_"): {**content, "subset": subsets[name]}
        for name, content in annotated.items()
    }
    settings = write(tmp_path, database, ()).model_copy(update={"max_broken_share": 1.0})
    train = ActivityNet(settings, train=True, num_segments=8)
    val = ActivityNet(settings, train=False, num_segments=8)
    assert train.class_names == sorted((folder / "label_map.txt").read_text().splitlines())
    assert (len(train), len(val)) == (9649, 4728)
    both = [*map(train.targets, range(len(train))), *map(val.targets, range(len(val)))]
    assert sum(len(labels) > 1 for labels in both) == 11


@pytest.mark.real
def test_real_action_clips_load_in_every_container(tmp_path: Path) -> None:
    settings = ActivityNetSettings(
        root=str(activitynet_from_actions(tmp_path)), crop=64, test_scale=72
    )
    assert ActivityNet.missing(settings) == []
    train = ActivityNet(settings, train=True, num_segments=8)
    val = ActivityNet(settings, train=False, num_segments=8)
    assert (len(train), len(val), train.num_classes) == (48, 24, 6)
    by_ending = {Path(val.source(i)).suffix: i for i in range(len(val))}
    assert set(by_ending) == {".avi", ".mkv", ".mp4"}
    for index in by_ending.values():
        assert val.load(index, None).shape == (8, 3, 64, 64)


def test_a_video_is_called_the_same_whether_it_is_there_or_not(
    settings: ActivityNetSettings,
) -> None:
    before = ActivityNet(settings, train=True, num_segments=4)
    (Path(settings.root) / "videos/two.webm").unlink()
    after = ActivityNet(settings, train=True, num_segments=4)
    assert (before.num_missing, after.num_missing) == (0, 1)
    assert [before.file_name(1), after.file_name(1)] == ["two", "two"]
