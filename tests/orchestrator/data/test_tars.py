"""What is in tars: folders, links, and what is no sample."""

from pathlib import Path

import pytest

from orchestrator.data.images import BrokenImage
from tests.tars import classes_in, imagenet, missing, picture, sets_of, tar, write


def test_a_tar_for_each_class_has_its_folder_for_a_class(tmp_path: Path) -> None:
    names = {"dog": "dog/n02085620_1.jpg", "cat": "cat/n02123045_3.jpg"}
    tars = {
        f"{s}/{c}.tar": tar({n: picture(1)}) for s in ("train", "val") for c, n in names.items()
    }
    found = classes_in(imagenet(write(tmp_path, tars)))
    assert found == {name: class_name for class_name, name in names.items()}
    assert missing(tmp_path) == []


@pytest.mark.parametrize(
    "names",
    [
        ("dog/1.jpg", "dog/extra/2.jpg", "cat/3.jpg"),
        ("dog/images/1.jpg", "cat/images/2.jpg"),
        ("dog/left/1.jpg", "dog/right/2.jpg", "cat/left/3.jpg"),
    ],
)
@pytest.mark.parametrize("tars", [1, 2])
def test_folders_that_may_be_no_classes_are_refused(
    tmp_path: Path, names: tuple[str, ...], tars: int
) -> None:
    parts = [dict.fromkeys(names[part::tars], picture(1)) for part in range(tars)]
    write(tmp_path, {f"train/{n}.tar": tar(part) for n, part in enumerate(parts)})
    write(tmp_path, {"val/0.tar": tar({"set/a/1.jpg": picture(1), "set/b/2.jpg": picture(2)})})
    [problem] = missing(tmp_path)
    assert f"{tmp_path}/train/0.tar and beside it have {names[0]} and " in problem
    assert "pack each class as one folder, at one place, as CLASS/IMAGE" in problem


def test_what_is_lost_of_a_tar_or_is_there_twice_is_said(tmp_path: Path) -> None:
    names = ("a/1.jpg", "b/2.jpg", "b/3.TIFF", "b/2.tif")
    files = tar(dict.fromkeys(names, picture(1)))
    again = tar({"a/1.jpg": picture(1)})
    joined = again.rstrip(b"\0")
    joined += bytes(-len(joined) % 512) + files
    write(tmp_path, {"train/0.tar": joined, "train/1.tar": again + files})
    data = imagenet(tmp_path)
    assert len(data) == 4
    inside = f"{tmp_path}/train/0.tar"
    assert data.remarks == [
        f"1 file is left out, of formats that are not read, such as {inside}/b/3.TIFF.",
        "1 file is read beside another one of the same name in the same tar, such as "
        f"{inside}/a/1.jpg.",
        "1 file is followed by data that is not read, as where cat joined tars, such as "
        f"{tmp_path}/train/1.tar.",
    ]


def test_folders_in_a_tar_are_classes_before_the_names_of_files(tmp_path: Path) -> None:
    names = {
        "./dog/n02085620_1.jpg": "dog",
        "../set/dog/n02085782_2.jpg": "dog",
        "cat/n02123045_3.jpg": "cat",
        "n02123045_4.jpg": "n02123045",
    }
    files = dict.fromkeys(names, picture(1))
    hidden = {".ipynb_checkpoints/5-checkpoint.jpg": picture(5), "cat/.trash/6.jpg": picture(6)}
    found = classes_in(imagenet(sets_of(tmp_path / "folders", files | hidden)))
    assert found == {name.removeprefix("./"): one for name, one in names.items()}
    flat = {"all/n02085620_1.jpg": picture(1), "all/n02123045_2.jpg": picture(2)}
    assert imagenet(sets_of(tmp_path / "flat", flat)).class_names == ["n02085620", "n02123045"]


@pytest.mark.parametrize(
    "parts",
    [
        ("part0/{}_1.jpg", "part1/{}_2.jpg"),
        ("{}_1.jpg", "data/{}_2.jpg"),
        ("part0/{}/1.jpg", "part1/{}/2.jpg"),
        ("{}/1.jpg", "part/{}/2.jpg"),
    ],
)
def test_synsets_are_classes_in_all_parts_of_a_set(tmp_path: Path, parts: tuple[str, ...]) -> None:
    synsets = ["n02085620", "n02123045"]
    for number, part in enumerate(parts):
        files = tar({part.format(synset): picture(1) for synset in synsets})
        write(tmp_path, {f"train/{number}.tar": files, f"val/{number}.tar": files})
    assert missing(tmp_path) == []
    data = imagenet(tmp_path)
    assert data.class_names == synsets
    assert [data.label(index) for index in range(len(data))] == [0, 1, 0, 1]


def test_links_in_a_tar_are_followed(tmp_path: Path) -> None:
    files = {"a/1.jpg": picture(1), "b/2.jpg": "a/1.jpg", "b/3.jpg": "-> ../b/2.jpg"}
    data = imagenet(sets_of(tmp_path, files | {"c": "-> a"}))
    assert classes_in(data) == {"a/1.jpg": "a", "b/2.jpg": "b", "b/3.jpg": "b", "c/1.jpg": "c"}
    assert [data.content(i) for i in range(4)] == [picture(1)] * 4
    assert data.remarks == []


def test_links_that_lead_out_of_a_tar_are_named(tmp_path: Path) -> None:
    files = {"a/1.jpg": picture(1), "b": "-> ../b", "a/4.jpg": "-> 5.jpg", "a/5.jpg": "-> 4.jpg"}
    data = imagenet(sets_of(tmp_path, files))
    assert len(data) == 3
    [remark] = data.remarks
    assert remark.startswith(f"3 links in {tmp_path}/train/0.tar and beside it lead to nothing")
    assert "such as b: pack what they lead to" in remark
    with pytest.raises(BrokenImage, match=r"a/4\.jpg: cannot be decoded"):
        data.load(1, None)


def test_a_sample_has_one_image_whatever_is_beside_it(tmp_path: Path) -> None:
    files = dict.fromkeys(("1.jpg", "1.seg.png", "2.in.jpg", "3.v1.jpg", "3.v2.jpg"), picture(1))
    files |= {"1.cls": b"0", "2.cls": b"1", "3.v1.cls": b"2", "3.v2.cls": b"3"}
    data = imagenet(sets_of(tmp_path, files))
    assert classes_in(data) == {"1.jpg": "0", "2.in.jpg": "1", "3.v1.jpg": "2", "3.v2.jpg": "3"}
    assert data.remarks == []
