"""Mini-Kinetics: a class list over Kinetics annotations."""

import lzma
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.real_data import real_data
from video import BrokenVideo
from video.mini_kinetics import MiniKinetics, MiniKineticsSettings, read_classes

HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"
TRAIN = (
    "yoga,-aa_1,10,20,train,0\n"
    "archery,bb,0,10,train,0\n"
    "not chosen,cc,0,10,train,0\n"
    "yoga,dd,5,15,train,1\n"
    "yoga,vv,5,15,val,1\n"
)
VAL = "archery,ee,1,11,val,0\nyoga,ff,2,12,validate,0\n"


@pytest.fixture
def settings(tmp_path: Path) -> MiniKineticsSettings:
    (tmp_path / "mini_kinetics_200_classes.txt").write_text("yoga\narchery\n\n")
    (tmp_path / "kinetics-400_train.csv").write_text(HEADER + TRAIN)
    (tmp_path / "kinetics-400_val.csv").write_text(HEADER + VAL)
    for name in (
        "train/-aa_1_000010_000020.mp4",
        "train/archery/bb.mkv",
        "train/cc.mp4",
        "val/archery/ee_000001_000011.mp4",
        "val/yoga/ff_000002_000012.webm",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return MiniKineticsSettings(root=str(tmp_path), max_broken_share=0.5)


def sources(data: MiniKinetics) -> list[str]:
    return [Path(data.source(i)).name for i in range(len(data))]


def test_only_videos_of_the_chosen_classes_and_the_split_are_kept(
    settings: MiniKineticsSettings,
) -> None:
    train = MiniKinetics(settings, train=True, num_segments=8)
    assert sources(train) == ["-aa_1_000010_000020.mp4", "bb.mkv", "dd_000005_000015.*"]
    assert [train.label(i) for i in range(3)] == [1, 0, 1]
    assert train.class_names == ["archery", "yoga"]
    assert train.num_missing == 1


def test_videos_are_found_flat_and_below_their_class(settings: MiniKineticsSettings) -> None:
    val = MiniKinetics(settings, train=False, num_segments=8)
    assert sources(val) == ["ee_000001_000011.mp4", "ff_000002_000012.webm"]
    assert val.num_missing == 0
    assert MiniKinetics.missing(settings) == []


def test_a_video_shorter_than_30_frames_is_broken(
    settings: MiniKineticsSettings, videos: list[Path]
) -> None:
    data = MiniKinetics(settings, train=True, num_segments=8)
    shutil.copyfile(videos[0], data.source(0))
    for generator in (None, np.random.default_rng(0)):
        with pytest.raises(BrokenVideo, match="16 frames, at least 30"):
            data.load(0, generator)


def test_splits_are_those_of_their_names_however_they_are_written(
    settings: MiniKineticsSettings,
) -> None:
    more = "yoga,gg,1,2,Training,0\nyoga,hh,1,2,TRAIN,0\nyoga,ii,1,2,test,0\nyoga,jj,1,2,trian,0\n"
    (Path(settings.root) / "kinetics-400_train.csv").write_text(HEADER + TRAIN + more)
    train = MiniKinetics(settings, train=True, num_segments=8)
    assert [name[:2] for name in sources(train)] == ["-a", "bb", "dd", "gg", "hh"]
    [remark] = train.remarks
    assert "kinetics-400_train.csv, video jj: expected the split " in remark
    assert remark.endswith("got 'trian'; left out.")


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_class_list_is_text_in_utf_8(settings: MiniKineticsSettings, mark: str) -> None:
    classes = Path(settings.root) / settings.classes
    classes.write_text(f"{mark}archery\nyoga\n", "utf-8")
    assert read_classes(classes) == ["archery", "yoga"]
    for content in (f"{mark}archery\n".encode("utf-16"), b"caf\xe9\n"):
        classes.write_bytes(content)
        problems = MiniKinetics.missing(settings)
        assert [problem.partition(" (")[0] for problem in problems] == [
            f"{classes} is no text in UTF-8"
        ]


def test_missing_parts_are_named_with_their_place_and_source(tmp_path: Path) -> None:
    messages = MiniKinetics.missing(MiniKineticsSettings(root=str(tmp_path)))
    named = ["mini_kinetics_200_classes.txt", "kinetics-400_train.csv", "kinetics-400_val.csv"]
    for message, name in zip(messages, [*named, "train", "val"], strict=True):
        assert str(tmp_path / name) in message
        assert "https://github.com/" in message


def test_a_class_without_videos_is_named(settings: MiniKineticsSettings) -> None:
    (Path(settings.root) / settings.classes).write_text("yoga\narchery\narchary\n")
    messages = MiniKinetics.missing(settings)
    assert len(messages) == 2
    assert all("'archary'" in message for message in messages)


def test_what_is_left_out_of_a_csv_is_said_where_a_class_has_no_video(
    settings: MiniKineticsSettings,
) -> None:
    (Path(settings.root) / settings.val_annotations).write_text(f'{HEADER}"yoga,x,1,2,val,0\n')
    (message,) = MiniKinetics.missing(settings)
    assert "kinetics-400_val.csv, line 2: expected " in message
    more = f'{HEADER}"yoga,x,1,2,val,0\narchery,y,1,2,val,0\n'
    (Path(settings.root) / settings.val_annotations).write_text(more)
    (message,) = MiniKinetics.missing(settings)
    assert "has no video of 1 of the 2 classes" in message
    assert "kinetics-400_val.csv, line 2: expected " in message


def test_a_csv_without_the_columns_of_kinetics_is_named(settings: MiniKineticsSettings) -> None:
    (Path(settings.root) / settings.val_annotations).write_text("label,id\nyoga,x\n")
    (message,) = MiniKinetics.missing(settings)
    assert "kinetics-400_val.csv has no column youtube_id, time_start, time_end, split" in message
    assert message.endswith("and its first line is 'label,id'")


def test_too_many_missing_videos_are_reported_before_a_run(settings: MiniKineticsSettings) -> None:
    (message,) = MiniKinetics.missing(settings.model_copy(update={"max_broken_share": 0.3}))
    assert "1 of 3 training videos have no file" in message


@pytest.mark.real
def test_real_lists_give_25_validation_videos_of_each_of_200_classes(tmp_path: Path) -> None:
    folder = real_data() / "metadata" / "kinetics"
    for subset in ("train", "val"):
        packed = folder / f"mini_kinetics_200_{subset}.csv.xz"
        (tmp_path / f"kinetics-400_{subset}.csv").write_bytes(lzma.decompress(packed.read_bytes()))
        (tmp_path / subset).mkdir()
    rows = (tmp_path / "kinetics-400_val.csv").read_text().splitlines()[1:]
    names = sorted({row.split(",")[0] for row in rows})
    (tmp_path / "mini_kinetics_200_classes.txt").write_text("\n".join(names))
    settings = MiniKineticsSettings(root=str(tmp_path))
    for train, each in ((True, 400), (False, 25)):
        data = MiniKinetics(settings, train=train, num_segments=8)
        assert Counter(data.label(i) for i in range(len(data))) == dict.fromkeys(range(200), each)


def test_videos_are_called_by_their_annotations(settings: MiniKineticsSettings) -> None:
    train = MiniKinetics(settings, train=True, num_segments=8)
    assert [train.file_name(index) for index in range(3)] == [
        "-aa_1_000010_000020",
        "bb_000000_000010",
        "dd_000005_000015",
    ]
