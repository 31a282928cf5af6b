"""Videos in class folders, with UCF101's and HMDB51's official lists and without."""

import tarfile
from collections import Counter
from pathlib import Path

import pytest

from tests.real_data import real_data
from video.folders import VideoFolders, VideoFoldersSettings
from video.split_lists import read_split


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def opened(root: Path, *, train: bool = True, **settings: object) -> VideoFolders:
    chosen = VideoFoldersSettings(root=str(root), **settings)
    return VideoFolders(chosen, train=train, num_segments=2)


def missing(root: Path, **settings: object) -> list[str]:
    return VideoFolders.missing(VideoFoldersSettings(root=str(root), **settings))


def samples(data: VideoFolders) -> list[tuple[str, int]]:
    return [(Path(data.source(i)).name, data.label(i)) for i in range(len(data))]


def test_folders_are_classes_and_what_is_hidden_is_no_data(tmp_path: Path) -> None:
    make(tmp_path, "train/run/2.avi", "train/run/1.MP4", "train/jump/3.webm", "val/run/4.avi")
    make(tmp_path, "train/run/._1.MP4", "train/.ipynb_checkpoints/9.avi", "train/jump/notes.txt")
    train, val = opened(tmp_path), opened(tmp_path, train=False)
    assert train.class_names == val.class_names == ["jump", "run"]
    assert samples(train) == [("3.webm", 0), ("1.MP4", 1), ("2.avi", 1)]
    assert samples(val) == [("4.avi", 1)]
    assert (missing(tmp_path), train.remarks, val.remarks) == ([], [], [])


def test_videos_that_are_no_samples_are_counted(tmp_path: Path) -> None:
    make(tmp_path, "train/a/1.mp4", "train/a/1.avi", "train/a/more/2.mp4", "train/a/3.vob")
    train = opened(tmp_path)
    assert samples(train) == [("1.avi", 0)]
    folder = tmp_path / "train/a"
    assert train.remarks == [
        f"1 file is left out, in folders within class folders, such as {folder}/more/2.mp4.",
        f"1 file is left out, of formats that are not read, such as {folder}/3.vob.",
        f"1 file is left out, called as another one but for the ending, such as {folder}/1.mp4.",
    ]


def test_empty_and_unknown_classes_are_named_before_training(tmp_path: Path) -> None:
    make(tmp_path, "train/run/1.avi", "train/deep/below/1.avi", "val/run/4.avi")
    assert missing(tmp_path) == [
        f"Videos: no video right in the class folder of deep in {tmp_path / 'train'}: "
        "fill or remove it."
    ]
    make(tmp_path, "val/fly/1.avi")
    assert missing(tmp_path) == [
        f"Videos: {tmp_path / 'val'} has classes that {tmp_path / 'train'} lacks: fly."
    ]


@pytest.fixture
def ucf101(tmp_path: Path) -> Path:
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "classInd.txt").write_bytes(b"2 Archery\r\n1 YoYo\r\n\r\n")
    (lists / "trainlist02.txt").write_bytes(
        b"\xef\xbb\xbfYoYo/v_YoYo_g08_c01.avi 1\r\nArchery/v_A_g01_c02.avi 2\r\n"
        b"YoYo/v_Y_g02.avi 2\r\nxx\r\n"
    )
    (lists / "testlist02.txt").write_text("Archery/v_A_g03_c01.avi\nYoYo/v_gone.avi\n")
    make(tmp_path, "videos/YoYo/v_YoYo_g08_c01.avi", "videos/v_A_g01_c02.mkv")
    make(tmp_path, "videos/Archery/v_A_g03_c01.mp4")
    return tmp_path


def test_the_lists_of_ucf101_number_the_classes_and_divide_the_videos(ucf101: Path) -> None:
    train = opened(ucf101, lists="lists", split=2)
    val = opened(ucf101, train=False, lists="lists", split=2)
    assert train.class_names == val.class_names == ["YoYo", "Archery"]
    assert samples(train) == [("v_YoYo_g08_c01.avi", 0), ("v_A_g01_c02.mkv", 1)]
    assert samples(val) == [("v_A_g03_c01.mp4", 1), ("v_gone.*", 0)]
    assert (train.num_missing, val.num_missing) == (0, 1)
    listed = ucf101 / "lists" / "trainlist02.txt"
    assert train.remarks == [
        f"{listed}, line 3: expected the class number 1, got 'YoYo/v_Y_g02.avi 2'; left out.",
        f"{listed}, line 4: expected CLASS/VIDEO, and a class of classInd.txt, got 'xx'; left out.",
    ]
    [problem] = missing(ucf101, lists="lists", split=2)
    assert problem.startswith("1 of 2 validation videos have no file, for instance")


def test_what_is_wrong_with_the_classes_of_ucf101_is_named(ucf101: Path) -> None:
    classes, listed = ucf101 / "lists/classInd.txt", ucf101 / "lists/trainlist02.txt"
    classes.write_text(f"2 Archery\n1 YoYo\n{5000 * '9'} Zumba\n3 YoYo\n")
    listed.write_text(f"YoYo/v_YoYo_g08_c01.avi 1\nArchery/v_A_g01_c02.avi {5000 * '9'}\n")
    first, again, second = read_split(ucf101 / "lists", 2, train=True).remarks
    assert first.startswith(f"{classes}, line 3: expected a number and a class, got '999")
    assert again.startswith(f"{classes}, line 4: expected a class that is not listed above, got ")
    assert second.startswith(f"{listed}, line 2: expected the class number 2, got 'Archery/")
    classes.unlink()
    with pytest.raises(
        ValueError, match=f"no file {classes}, which numbers .* comes with the lists"
    ):
        read_split(ucf101 / "lists", 2, train=True)


def test_the_lists_of_hmdb51_say_of_each_video_how_it_is_used(tmp_path: Path) -> None:
    make(tmp_path, "videos/wave/a b.avi", "videos/wave/c.avi", "videos/brush_hair/d.avi")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "wave_test_split1.txt").write_text(
        "a b.avi 1 \nc.avi 2 \nunused.avi 0 \n"
    )
    (tmp_path / "lists" / "brush_hair_test_split1.txt").write_text("d.avi 1\nodd\n")
    (tmp_path / "lists" / "._wave_test_split1.txt").write_text("e.avi 1\n")
    train = opened(tmp_path, lists="lists")
    assert train.class_names == ["brush_hair", "wave"]
    assert samples(train) == [("d.avi", 0), ("a b.avi", 1)]
    assert samples(opened(tmp_path, train=False, lists="lists")) == [("c.avi", 1)]
    assert len(train.remarks) == 1
    assert missing(tmp_path, lists="lists") == []
    problems = missing(tmp_path, lists="lists", split=3)
    assert any(
        "neither trainlist03.txt, as UCF101, nor CLASS_test_split3.txt" in p for p in problems
    )


def test_lists_that_are_missing_are_named_with_how_to_get_them(tmp_path: Path) -> None:
    of_lists, of_videos = problems = missing(tmp_path, lists="splits", videos="UCF-101")
    assert f"no folder {tmp_path / 'splits'}." in of_lists
    assert f"no folder {tmp_path / 'UCF-101'}." in of_videos
    assert all("https://www.crcv.ucf.edu" in problem for problem in problems)


@pytest.mark.real
def test_the_official_lists_of_ucf101_are_read_whole(tmp_path: Path) -> None:
    with tarfile.open(real_data() / "metadata/ucf101/ucfTrainTestlist.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    lists = tmp_path / "ucfTrainTestlist"
    for number, counts in ((1, (9537, 3783)), (2, (9586, 3734)), (3, (9624, 3696))):
        train, test = (read_split(lists, number, train=train) for train in (True, False))
        assert (len(train.rows), len(test.rows)) == counts
        assert train.remarks == test.remarks == []
        assert train.class_names == test.class_names
        assert len(train.class_names) == len(Counter(label for label, _ in test.rows)) == 101
        assert not {video for _, video in train.rows} & {video for _, video in test.rows}
