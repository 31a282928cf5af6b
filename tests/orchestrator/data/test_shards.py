"""ImageNet in tar files: shards in webdataset's layout, and the official files as they are."""

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from orchestrator.data import tar_index
from orchestrator.data.imagenet import ImageNet, ImageNetSettings
from orchestrator.data.images import BrokenImage

SYNSETS = [f"n{number:08d}" for number in (21197891, 21007352, *range(1001, 1999))]


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(256, size=(24, 30, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def tar(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as packed:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return content.getvalue()


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def imagenet(root: Path, *, train: bool = True) -> ImageNet:
    settings = ImageNetSettings(root=str(root), crop=16, resize=16)
    return ImageNet(settings, train=train, num_segments=None)


def missing(root: Path) -> list[str]:
    return ImageNet.missing(ImageNetSettings(root=str(root)))


def same_images(one: ImageNet, other: ImageNet) -> bool:
    return len(one) == len(other) and all(
        one.label(i) == other.label(i) and torch.equal(one.load(i, None), other.load(i, None))
        for i in range(len(one))
    )


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
    monkeypatch.setattr(tar_index, "_rows", None)
    assert same_images(imagenet(tmp_path), before)


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
