"""ImageNet's folders, with small pictures drawn here and with real ones."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from orchestrator.data.imagenet import ImageNet, ImageNetSettings
from orchestrator.data.images import BrokenImage
from orchestrator.prepare.datasets import remarks
from tests.real_data import real_data


def picture(seed: int, mode: str = "RGB", kind: str = "JPEG") -> bytes:
    pixels = np.random.default_rng(seed).integers(256, size=(40, 60, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind)
    return file.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for place, name in enumerate(
        ("train/b/2.JPEG", "train/b/1.jpg", "train/a/x.jpeg", "train/a/notes.txt", "val/b/v.JPEG")
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture(place))
    (tmp_path / "val/a").mkdir()
    (tmp_path / "val/a/w.PNG").write_bytes(picture(9, kind="PNG"))
    return tmp_path


def imagenet(root: Path, *, train: bool, **settings: int) -> ImageNet:
    chosen = ImageNetSettings(root=str(root), **({"crop": 16, "resize": 20} | settings))
    return ImageNet(chosen, train=train, num_segments=None)


def test_images_lie_in_class_folders_in_alphabetical_order(root: Path) -> None:
    train, val = imagenet(root, train=True), imagenet(root, train=False)
    assert train.class_names == val.class_names == ["a", "b"]
    assert [(Path(train.source(i)).name, train.label(i)) for i in range(len(train))] == [
        ("x.jpeg", 0),
        ("1.jpg", 1),
        ("2.JPEG", 1),
    ]
    assert [(Path(val.source(i)).name, val.targets(i)) for i in range(len(val))] == [
        ("w.PNG", [0]),
        ("v.JPEG", [1]),
    ]


def test_an_image_is_loaded_in_the_promised_shape(root: Path) -> None:
    data = imagenet(root, train=True)
    for generator in (None, np.random.default_rng(0)):
        image = data.load(0, generator)
        assert image.shape == data.sample_shape == (3, 16, 16)
        assert image.dtype == torch.uint8
        assert image.is_contiguous()
    first, again, other = (data.load(0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_test_transform_scales_the_short_side_and_cuts_the_center(root: Path) -> None:
    with Image.open(root / "val/a/w.PNG") as image:
        scaled = image.resize((30, 20), Image.Resampling.BILINEAR)  # 60 x 40, short side to 20
    expected = np.asarray(scaled)[2:18, 7:23].transpose(2, 0, 1).astype(int)
    result = imagenet(root, train=False).load(0, None).numpy().astype(int)
    assert np.abs(result - expected).max() <= 1


def test_half_of_the_training_images_are_mirrored_and_no_test_image(root: Path) -> None:
    brighter = np.broadcast_to(np.arange(60, dtype=np.uint8)[None, :, None] * 4, (40, 60, 3))
    for name in ("train/a/x.jpeg", "val/b/v.JPEG"):
        Image.fromarray(brighter).save(root / name, "JPEG")

    def mirrored(image: torch.Tensor) -> bool:
        return bool(image[..., 0].float().mean() > image[..., -1].float().mean())

    train, generator = imagenet(root, train=True), np.random.default_rng(0)
    count = sum(mirrored(train.load(0, generator)) for _ in range(400))
    assert 160 < count < 240
    assert not mirrored(imagenet(root, train=False).load(1, None))


@pytest.mark.parametrize("content", [b"", b"no image", picture(0)[:300]], ids=["0", "text", "cut"])
def test_a_damaged_image_is_broken(root: Path, content: bytes) -> None:
    (root / "train/a/x.jpeg").write_bytes(content)
    with pytest.raises(BrokenImage, match=r"x\.jpeg: cannot be decoded") as caught:
        imagenet(root, train=True).load(0, None)
    assert "\n" not in caught.value.reason


def test_an_image_deleted_since_the_listing_is_broken(root: Path) -> None:
    data = imagenet(root, train=True)
    Path(data.source(0)).unlink()
    with pytest.raises(BrokenImage, match="No such file"):
        data.load(0, np.random.default_rng(0))


def test_what_is_no_regular_file_is_broken(root: Path) -> None:
    (root / "train/a/x.jpeg").unlink()
    (root / "train/a/x.jpeg").symlink_to("/dev/null")  # or a pipe, which might never end
    with pytest.raises(BrokenImage, match=r"cannot be read \(it is no regular file\)"):
        imagenet(root, train=True).load(0, None)


def test_missing_folders_are_named_with_their_place_and_source(root: Path, tmp_path: Path) -> None:
    assert ImageNet.missing(ImageNetSettings(root=str(root))) == []
    messages = ImageNet.missing(ImageNetSettings(root=str(tmp_path / "nowhere")))
    for message, name in zip(messages, ("train", "val"), strict=True):
        assert str(tmp_path / "nowhere" / name) in message
    assert all("https://image-net.org" in message for message in messages)


def test_what_notebooks_and_file_managers_leave_is_no_data(root: Path) -> None:
    before = imagenet(root, train=True)
    for folder in (root / "train", root / "train/a"):
        (folder / ".ipynb_checkpoints").mkdir()
        (folder / ".DS_Store").touch()
    (root / "train/a/._x.jpeg").write_bytes(b"resource fork")
    after = imagenet(root, train=True)
    assert after.class_names == before.class_names
    assert [after.source(i) for i in range(len(after))] == [
        before.source(i) for i in range(len(before))
    ]
    assert ImageNet.missing(ImageNetSettings(root=str(root))) == []


def test_a_class_without_images_or_with_its_images_one_folder_deeper_is_named(root: Path) -> None:
    (root / "train/c").mkdir()
    (root / "val/a/deeper").mkdir()
    (root / "val/a/w.PNG").rename(root / "val/a/deeper/w.PNG")
    training, validation = ImageNet.missing(ImageNetSettings(root=str(root)))
    assert "right in the class folder of c in" in training
    assert "right in the class folder of a in" in validation


def test_a_class_that_only_training_has_is_remarked_on(root: Path) -> None:
    for name in "cdefghi":
        (root / f"train/{name}").mkdir()
        (root / f"train/{name}/1.jpg").write_bytes(picture(1))
    assert ImageNet.missing(ImageNetSettings(root=str(root))) == []
    said = remarks(imagenet(root, train=True), imagenet(root, train=False))
    assert said == ["There is no validation sample of 7 classes, such as c, d, e, f, g."]


def test_what_is_no_sample_though_it_may_be_meant_to_be_is_counted(root: Path) -> None:
    assert imagenet(root, train=True).remarks == []
    before = len(imagenet(root, train=True))
    (root / "train/a/more").mkdir()
    for name in ("a/more/7.jpg", "a/more/8.png", "a/9.JFIF", "a/10.tif", "b/11.heic", "12.jpg"):
        (root / "train" / name).write_bytes(picture(1))
    official = "ILSVRC2012_img_train.tar"
    for name in ("a.tar", "z.tar", official, "a/x.npy", "a/notes.txt", "a/more/notes.txt"):
        (root / "train" / name).write_bytes(b"")
    data = imagenet(root, train=True)
    assert len(data) == before
    packed, stray, deeper, unknown = data.remarks
    train = root / "train"
    assert packed == (
        f"1 file is left out, since tars beside class folders are not read, such as {train}/z.tar."
    )
    assert stray == f"1 file is left out, in no class folder, such as {train}/12.jpg."
    assert deeper.startswith("2 files are left out, in folders within class folders, such as ")
    assert unknown.startswith("3 files are left out, of formats that are not read, such as ")
    assert imagenet(root, train=False).remarks == []


def test_one_class_alone_is_remarked_on(root: Path) -> None:
    for folder in ("train/b", "val/b"):
        shutil.rmtree(root / folder)
    assert remarks(imagenet(root, train=True), imagenet(root, train=False)) == [
        "All samples are of one class, a."
    ]


def test_a_validation_class_without_training_images_is_named(root: Path) -> None:
    (root / "val/c").mkdir()
    (message,) = ImageNet.missing(ImageNetSettings(root=str(root)))
    assert message.endswith("lacks: c.")


def test_folders_without_images_are_named(root: Path) -> None:
    for file in (root / "val").glob("*/*"):
        file.unlink()
    with pytest.raises(ValueError, match="no image"):
        imagenet(root, train=False)


def test_settings_refuse_a_crop_larger_than_what_it_is_cut_from() -> None:
    with pytest.raises(ValidationError, match="set resize to at least the crop"):
        ImageNetSettings(root="", crop=300)


@pytest.mark.real
def test_real_images_load() -> None:
    root = real_data() / "imagenet10"
    assert ImageNet.missing(ImageNetSettings(root=str(root))) == []
    train = imagenet(root, train=True, crop=64, resize=72)
    val = imagenet(root, train=False, crop=64, resize=72, limit_val=20)
    assert (len(train), len(val), train.num_classes) == (300, 20, 10)
    assert sorted({val.label(i) for i in range(20)}) == list(range(10))
    means = torch.stack([val.load(i, None).float().mean((1, 2)) / 255 for i in range(20)]).mean(0)
    assert torch.allclose(means, torch.tensor(train.mean), atol=0.15)
    assert train.load(7, np.random.default_rng(0)).shape == (3, 64, 64)
