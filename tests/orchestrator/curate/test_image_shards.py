"""Copies of images in tar files: the same samples in the same order, smaller."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.curate import copies, image_shards
from orchestrator.curate.manifest import LeftOut, Options
from orchestrator.curate.outcome import Report
from orchestrator.data.image_file import decode_bytes
from orchestrator.data.imagenet import ImageNet
from orchestrator.data.images import BrokenImage
from orchestrator.errors import UsageError
from orchestrator.job.load import load_job
from orchestrator.job.schema import Job
from orchestrator.prepare.datasets import open_datasets
from orchestrator.train.samples import Samples
from tests.orchestrator.curate.here import Here

OPTIONS = Options("shards", 48, quality=90)
JOB = """
name: pictures
model: {name: resnet18, widths: [4, 8, 16], depths: [1, 1, 1]}
data: {name: imagenet, root: pictures, crop: 32, resize: 48, max_broken_share: 0.5}
method: {name: coquant}
optimizer: {lr: 0.05}
training: {epochs: 1, global_batch: 2}
"""


def picture(height: int, width: int, *, form: str = "JPEG") -> bytes:
    """Return an image that is smooth, as photographs are, and differs with its size."""
    down, right = np.mgrid[:height, :width]
    gray = 127 + 120 * np.sin(down / 9 + height) * np.cos(right / 7 + width)
    pixels = np.stack([gray, gray[::-1], gray[:, ::-1]], axis=2).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, quality=95)
    return file.getvalue()


FILES = {
    "train/cat/large.jpg": picture(120, 96),
    "train/cat/small.v2.jpeg": picture(40, 44),
    "train/dog.x/1.png": picture(100, 200, form="PNG"),
    "train/dog.x/n00000001_1.jpg": picture(97, 98),
    "train/dog.x/odd.jpg": b"\xff\xd8\xff no picture",
    "val/cat/1.jpg": picture(64, 64),
    "val/dog.x/1.jpg": picture(49, 300),
}


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job on a folder of images, one of which is broken."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(image_shards, "PER_SHARD", 2)
    for name, content in FILES.items():
        Path("pictures", name).parent.mkdir(parents=True, exist_ok=True)
        Path("pictures", name).write_bytes(content)
    Path("job.yaml").write_text(JOB)
    return load_job("job.yaml").job


def made(job: Job, options: Options = OPTIONS) -> Report:
    """Make the copies in this process."""
    return copies.prepare(job, Path("copies"), options, hands=Here(), tell=lambda *_: None)


def on_copies() -> tuple[ImageNet, ImageNet]:
    train_set, val_set = open_datasets(load_job("job.yaml", ["data.root=copies"]).job)
    assert isinstance(train_set, ImageNet)
    assert isinstance(val_set, ImageNet)
    return train_set, val_set


def test_copies_are_the_same_samples_in_the_same_order_with_a_short_side(job: Job) -> None:
    report = made(job)
    shards = ["train/train-00000.tar", "train/train-00001.tar", "train/train-00002.tar"]
    assert [one.source for one in report.outcomes] == [*shards, "val/val-00000.tar"]
    [left_out] = report.without_copy
    assert left_out.name == "train/dog.x/odd.jpg"
    assert "cannot be decoded" in left_out.reason
    kept = [name for name in FILES if name != left_out.name]
    for subset, dataset in zip(("train", "val"), on_copies(), strict=True):
        names = [name for name in kept if name.startswith(subset)]
        assert dataset.class_names == ["cat", "dog.x"]
        assert [dataset.class_of(n) for n in range(len(dataset))] == [
            name.split("/")[1] for name in names
        ]
        for number, name in enumerate(names):
            original = decode_bytes(FILES[name], name)
            copy = decode_bytes(dataset.content(number), name)
            assert min(copy.shape[:2]) == min(48, *original.shape[:2])
            with Image.fromarray(original) as picture_of:
                resized = picture_of.resize(copy.shape[1::-1], Image.Resampling.BILINEAR)
            assert np.abs(np.asarray(resized).astype(float) - copy).mean() < 4
    train_set, _ = on_copies()
    assert train_set.content(1) == FILES["train/cat/small.v2.jpeg"]  # as it was, byte for byte
    assert train_set.load(0, None).shape == (3, 32, 32)


def test_a_run_on_images_may_go_on_with_their_copies(job: Job) -> None:
    Path("pictures/train/dog.x/odd.jpg").unlink()
    made(job)
    assert Samples.of(on_copies()[0]) == Samples.of(open_datasets(job)[0])


def test_shards_are_kept_until_an_image_changes_and_never_differ(job: Job) -> None:
    first = made(job)
    content = {path: path.read_bytes() for path in Path("copies").rglob("*.tar")}
    again = made(job)
    assert again.counts == {"made": 0, "kept": 4, "failed": 0}
    assert again.without_copy == first.without_copy
    Path("copies/train/train-00001.tar").unlink()
    Path("copies/val/.val-00000.tar.1234.preparing").write_bytes(b"cut")
    Path("pictures/train/dog.x/odd.jpg").write_bytes(picture(50, 50))
    last = made(job)
    assert [one.state for one in last.outcomes] == ["kept", "made", "made", "kept"]
    assert last.without_copy == []
    changed = {name for name, before in content.items() if name.read_bytes() != before}
    assert changed == {Path("copies/train/train-00002.tar")}
    assert not list(Path("copies").rglob(".*"))
    assert len(on_copies()[0]) == 5


def test_other_options_make_all_shards_again(job: Job) -> None:
    made(job)
    assert made(job, Options("shards", 40, quality=90)).counts["made"] == 4


def test_an_image_that_vanishes_is_left_out_by_name(job: Job) -> None:
    open_datasets(job)
    Path("pictures/train/cat/large.jpg").unlink()
    assert LeftOut("train/cat/large.jpg", "cannot be read (No such file or directory)") in (
        made(job).without_copy
    )


def test_an_image_that_the_storage_did_not_give_is_copied_the_next_time(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: object, source: str) -> bytes:
        raise BrokenImage(source, "cannot be read (Input/output error)")

    with monkeypatch.context() as patched:
        patched.setattr(image_shards, "read_content", away)
        assert len(made(job).without_copy) >= len(FILES)
    report = made(job)
    assert report.counts["made"] == 4
    assert [one.name for one in report.without_copy] == ["train/dog.x/odd.jpg"]
    assert made(job).counts["kept"] == 4


def test_tar_files_are_copied_as_folders_are(job: Job) -> None:
    made(job)
    shutil.copytree("copies", "tars")
    from_tars = load_job("job.yaml", ["data.root=tars"]).job
    options = Options("shards", 40, quality=90)
    copies.prepare(from_tars, Path("smaller"), options, hands=Here(), tell=lambda *_: None)
    dataset = open_datasets(load_job("job.yaml", ["data.root=smaller"]).job)[0]
    assert isinstance(dataset, ImageNet)
    assert dataset.class_names == ["cat", "dog.x"]
    sides = [min(decode_bytes(dataset.content(n), "").shape[:2]) for n in range(len(dataset))]
    assert sides == [40, 40, 40, 40]


def renamed(names: dict[str, str]) -> None:
    for subset in ("train", "val"):
        for name, new in names.items():
            Path("pictures", subset, name).rename(Path("pictures", subset, new))


@pytest.mark.parametrize("names", [("5", "7"), ("00", "01"), ("1", "0 "), ("a\n", "b")])
def test_classes_that_shards_would_take_for_others_are_refused(
    job: Job, names: tuple[str, str]
) -> None:
    renamed(dict(zip(("cat", "dog.x"), names, strict=True)))
    with pytest.raises(UsageError, match="Rename the folders") as caught:
        made(job)
    assert repr(names[0]) in str(caught.value)
    assert not list(Path("copies").glob("*/*.tar"))


def test_numbers_that_come_in_another_order_are_refused(job: Job) -> None:
    for number in range(11):  # as text 10 comes before 2
        for subset in ("train", "val"):
            shutil.copytree(f"pictures/{subset}/cat", f"pictures/{subset}/{number}")
    for subset in ("train", "val"):
        shutil.rmtree(f"pictures/{subset}/cat")
        shutil.rmtree(f"pictures/{subset}/dog.x")
    with pytest.raises(UsageError, match="numbers that are not in order from 0 on"):
        made(job)


def test_names_of_classes_are_kept_whatever_they_are(job: Job) -> None:
    renamed({"cat": "\u732b", "dog.x": "\u72d7 "})
    made(job)
    for dataset in on_copies():
        assert dataset.class_names == ["\u72d7 ", "\u732b"]
        assert {dataset.class_of(n) for n in range(len(dataset))} == {"\u72d7 ", "\u732b"}


def test_a_class_of_which_no_image_is_copied_is_named(job: Job) -> None:
    for file in Path("pictures/train/cat").iterdir():
        file.write_bytes(b"no picture")
    last = made(job).without_copy[-1]
    assert last.name == "class cat"
    assert (
        last.reason == "no training image of it has a copy, so that the copies have fewer classes"
    )


def test_videos_are_not_copied_as_images(job: Job) -> None:
    with pytest.raises(UsageError, match="--format pack copies videos; 'imagenet' holds none"):
        made(job, Options("pack", 48, frames=8, quality=90))
    assert not Path("copies").exists()
