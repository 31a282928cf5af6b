"""ImageNet in tar files: shards in webdataset's layout, and the official files as they are."""

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from orchestrator.data.images import BrokenImage
from tests.tars import classes_in, imagenet, missing, picture, same_images, sets_of, tar, write

SYNSETS = [f"n{number:08d}" for number in (21197891, 21007352, *range(1001, 1999))]


def with_numbers(images: Mapping[str, bytes]) -> dict[str, bytes]:
    """Add the class of each image, 0 for a and 1 for b, as webdataset does."""
    found = {}
    for name, content in images.items():
        key = name.rpartition(".")[0].replace("/", "-")
        found |= {f"{key}.jpg": content, f"{key}.cls": b"%d\n" % (name[0] == "b")}
    return found


@pytest.mark.parametrize("named", [with_numbers, dict])
def test_shards_hold_what_class_folders_hold(
    named: Callable[[Mapping[str, bytes]], dict[str, bytes]], tmp_path: Path
) -> None:
    train = {f"{name}/{n}.jpg": picture(n) for n, name in enumerate("aaabb")}
    val = {"a/7.jpg": picture(7), "b/8.jpg": picture(8), "b/._8.jpg": b"of a file manager"}
    folders = {f"train/{k}": v for k, v in train.items()} | {f"val/{k}": v for k, v in val.items()}
    del folders["val/b/._8.jpg"]
    parts = [dict(list(train.items())[:2]), dict(list(train.items())[2:])]
    shards = {f"train/{n}.tar": tar(named(part)) for n, part in enumerate(parts)}
    if named is with_numbers:
        del val["b/._8.jpg"]
    write(tmp_path / "shards", shards | {"val/0.tar": tar(named(val))})
    write(tmp_path / "folders", folders)
    for is_train in (True, False):
        one = imagenet(tmp_path / "shards", train=is_train)
        other = imagenet(tmp_path / "folders", train=is_train)
        assert same_images(one, other)
        assert one.remarks == []
    assert one.class_names == (["0", "1"] if named is with_numbers else ["a", "b"])
    assert imagenet(tmp_path / "shards").source(0).startswith(f"{tmp_path}/shards/train/0.tar/")
    assert missing(tmp_path / "shards") == []


def test_a_tar_is_looked_into_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"i-train-0.tar": tar({"a/1.jpg": picture(1)})})
    write(tmp_path, {"i-val-0.tar": tar({"a/2.jpg": picture(2)})})
    before = imagenet(tmp_path)
    monkeypatch.setattr(tarfile, "open", None)
    assert same_images(imagenet(tmp_path), before)


@pytest.mark.parametrize("form", ["%d", "%03d", " %d\r\n"])
def test_numbers_of_classes_are_numbers_however_they_are_written(tmp_path: Path, form: str) -> None:
    used = {"000": 0, "001": 5, "002": 50, "003": 101}
    files = {f"{key}.jpg": picture(number) for key, number in used.items()}
    files |= {f"{key}.cls": (form % number).encode() for key, number in used.items()}
    data = imagenet(sets_of(tmp_path, files))
    assert [data.label(i) for i in range(len(data))] == [0, 5, 50, 101]
    assert data.num_classes == 102


def test_names_among_numbers_of_classes_are_remarked_on(tmp_path: Path) -> None:
    files = {f"{n}.jpg": picture(n) for n in range(3)}
    data = imagenet(sets_of(tmp_path, files | {"0.cls": b"10", "1.cls": b"9", "2.cls": b"cat"}))
    assert data.class_names == ["10", "9", "cat"]
    [remark] = data.remarks
    assert "have numbers for classes and also cat, so that all are taken for names" in remark


def test_a_number_that_cannot_be_meant_is_named(tmp_path: Path) -> None:
    files = {"1.jpg": picture(1), "1.cls": b"0", "2.jpg": picture(2), "2.cls": b"20000"}
    [problem] = missing(sets_of(tmp_path, files))
    assert f"{tmp_path}/train/0.tar and beside it have 2 images and the number 20000 " in problem


def test_names_of_classes_are_any_text(tmp_path: Path) -> None:
    used = {"1": "\u732b", "2": "cat", "3": "cat ", "4": "\u72d7"}
    files = {f"{key}.jpg": picture(1) for key in used}
    files |= {f"{key}.cls": f"{name}\n".encode() for key, name in used.items()}
    data = imagenet(sets_of(tmp_path, files))
    assert classes_in(data) == {f"{key}.jpg": name for key, name in used.items()}
    assert data.num_classes == 4


def test_an_image_without_its_cls_file_is_in_no_class(tmp_path: Path) -> None:
    files = {f"all/{n}.jpg": picture(n) for n in range(12)}
    files |= {f"all/{n}.cls": b"%d" % n for n in range(12) if n != 11}
    train = sets_of(tmp_path, files)
    write(train, {"train/1.tar": tar({"odd/1.jpg": picture(1)})})
    data = imagenet(train)
    assert classes_in(data) == {f"all/{n}.jpg": str(n) for n in range(11)}
    assert [data.label(i) for i in range(11)] == list(range(11))
    [remark] = data.remarks
    assert remark.startswith(f"2 images in {tmp_path}/train/0.tar and beside it have no class, in ")
    assert remark.endswith("one is all/11.jpg. They are left out.")


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:200] + bytes([content[200] ^ 16]) + content[201:],
    ],
    ids=["empty", "cut", "another byte"],
)
def test_a_damaged_index_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setenv("ORCH_CACHE", str(tmp_path / "cache"))
    before = imagenet(sets_of(tmp_path, {"a/1.jpg": picture(1), "b/2.jpg": picture(2)}))
    kept = list((tmp_path / "cache/tars").iterdir())
    for file in kept:
        file.write_bytes(change(file.read_bytes()))
    assert same_images(imagenet(tmp_path), before)
    monkeypatch.setattr(tarfile, "open", None)
    assert same_images(imagenet(tmp_path), before)


def test_which_tars_are_of_a_set(tmp_path: Path) -> None:
    dogs = tar({"n02085620.tar": tar({"n02085620_7.JPEG": picture(1)})})
    write(tmp_path, {"ILSVRC2012_img_train.tar": dogs, "ILSVRC2012_img_train_t3.tar": dogs})
    write(tmp_path, {"val.tar": tar({"n02085620_9.JPEG": picture(2)})})
    assert len(imagenet(tmp_path)) == 1
    (tmp_path / "ILSVRC2012_img_train.tar").unlink()
    assert len(imagenet(tmp_path)) == 1
    (tmp_path / "val.tar").rename(tmp_path / "my_train_and_val.tar")
    [problem] = missing(tmp_path)
    assert "The name of my_train_and_val.tar fits both sets: put it into one." in problem


def official(root: Path) -> Path:
    """Write the official files, of two classes."""
    classes = {
        f"{name}.tar": tar({f"{name}_{n}.JPEG": picture(10 * n + len(name))})
        for n, name in enumerate(SYNSETS[:2])
    }
    val = {f"ILSVRC2012_val_{n:08d}.JPEG": picture(n) for n in (1, 2, 3)}
    truth = b"2\n1\n2\n"
    rows = [(n, name, "a kind") for n, name in enumerate([*SYNSETS, "n99999999"], start=1)]
    fields = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object)]
    meta = io.BytesIO()
    scipy.io.savemat(meta, {"synsets": np.array(rows, dtype=fields)}, do_compression=True)
    kit = {
        "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": truth,
        "ILSVRC2012_devkit_t12/data/meta.mat": meta.getvalue(),
    }
    return write(
        root,
        {
            "ILSVRC2012_img_train.tar": tar(classes),
            "ILSVRC2012_img_val.tar": tar(val),
            "ILSVRC2012_devkit_t12.tar.gz": tar(kit, "w:gz"),
        },
    )


def test_the_official_files_are_read_as_they_are(tmp_path: Path) -> None:
    train, val = imagenet(official(tmp_path)), imagenet(tmp_path, train=False)
    second, first = SYNSETS[:2]  # of the kit, not of the alphabet
    assert train.class_names == val.class_names == [first, second]
    inside = f"{tmp_path}/ILSVRC2012_img_train.tar"
    assert [(train.source(i), train.label(i)) for i in range(2)] == [
        (f"{inside}/{second}/{second}_0.JPEG", 1),
        (f"{inside}/{first}/{first}_1.JPEG", 0),
    ]
    assert [val.label(i) for i in range(3)] == [0, 1, 0]
    assert train.load(0, None).shape == (3, 16, 16)
    assert missing(tmp_path) == []
    (tmp_path / "val").mkdir()  # the kit beside the tar of the images, wherever that is
    for name in ("ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"):
        (tmp_path / name).rename(tmp_path / "val" / name)
    again = imagenet(tmp_path, train=False)
    assert [again.label(i) for i in range(3)] == [0, 1, 0]


def test_what_is_wrong_with_tar_files_is_named(tmp_path: Path) -> None:
    (official(tmp_path) / "ILSVRC2012_devkit_t12.tar.gz").unlink()
    [problem] = missing(tmp_path)
    assert "3 images in" in problem
    assert "need ILSVRC2012_devkit_t12.tar.gz beside them" in problem
    (tmp_path / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(b"no kit")
    [problem] = missing(tmp_path)
    assert "is not the official development kit, or is damaged" in problem
    whole = (tmp_path / "ILSVRC2012_img_train.tar").read_bytes()
    for cut in (1200, len(tar({})) + 700):
        (tmp_path / "ILSVRC2012_img_train.tar").write_bytes(whole[:cut])
        [problem] = missing(tmp_path)
        assert f"ImageNet: {tmp_path}/ILSVRC2012_img_train.tar " in problem
    (tmp_path / "ILSVRC2012_img_train.tar").unlink()
    [problem] = missing(tmp_path)
    assert f"no class folders and no tar files in {tmp_path}/train" in problem


def test_a_tar_that_is_cut_later_has_broken_images(tmp_path: Path) -> None:
    write(tmp_path, {"train/0.tar": tar({"a/1.jpg": picture(1)})})
    data = imagenet(tmp_path)
    (tmp_path / "train/0.tar").write_bytes(b"")
    with pytest.raises(BrokenImage, match="cannot be read"):
        data.load(0, None)
