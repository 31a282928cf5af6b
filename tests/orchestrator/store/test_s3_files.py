"""Data sets in a bucket: the same batches as from the disk, over a bad way, and each file once."""

import hashlib
import io
import json
import os
import pickle
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from orchestrator.data.ahead import Loaders
from orchestrator.data.cifar import Cifar10
from orchestrator.data.images import BrokenImage
from orchestrator.data.loader import eval_batches, train_batches
from orchestrator.errors import MissingData
from orchestrator.job.load import load_job
from orchestrator.plan.batch import plan_batch
from orchestrator.prepare import preflight
from orchestrator.prepare.datasets import open_datasets, patience
from orchestrator.store import s3_client, s3_fetch
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.place import folder_at
from orchestrator.store.s3_files import S3Path
from tests.real_data import CIFAR10_BATCHES, cifar10_batch, python2_pickle
from tests.unreliable import Unreliable, Weather, on_the_way_to
from video import BrokenVideo, library
from video import clips as video_clips

JOBS = Path(__file__).parents[3] / "jobs"
QUICKSTART = JOBS / "quickstart"
PLAN = plan_batch(4, 1, 4)


@pytest.fixture
def bad_way(s3: str, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Unreliable]:
    """What is between this process and the bucket; it is well until it is told otherwise."""
    monkeypatch.setattr(s3_fetch, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(s3_fetch, "LONGEST_PAUSE", 0.05)
    with on_the_way_to(s3_url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        s3_client.client.cache_clear()
        yield proxy


def put(place: str, folder: Path) -> None:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            folder_at(place).write(str(file.relative_to(folder)), file.read_bytes())


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """The data of a few clips of the quickstart."""
    listed = json.loads((QUICKSTART / "activity_net.v1-3.min.json").read_text())["database"]
    folder = tmp_path / "clips"
    (folder / "videos").mkdir(parents=True)
    few = {}
    for subset in ("training", "validation"):
        for name, entry in [one for one in listed.items() if one[1]["subset"] == subset][:4]:
            few[name] = entry
            shutil.copy(QUICKSTART / "videos" / f"v_{name}.mp4", folder / "videos")
    (folder / "activity_net.v1-3.min.json").write_text(json.dumps({"database": few}))
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for place, name in enumerate(
        (
            *("train/a/1.jpg", "train/a/2.jpg", "train/b/1.jpg", "train/b/3.jpg", "val/b/1.jpg"),
            *("val/a/4.png", "train/.hidden/1.jpg", "train/a/._1.jpg", "notes.txt"),
        )
    ):
        pixels = np.random.default_rng(place).integers(256, size=(40, 60, 3), dtype=np.uint8)
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "JPEG" if name.endswith("jpg") else "PNG")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.getvalue())
    return folder


@pytest.fixture
def shards(pictures: Path, tmp_path: Path) -> Path:
    """The pictures in tar files, two in each."""
    folder = tmp_path / "shards"
    for subset in ("train", "val"):
        (folder / subset).mkdir(parents=True)
        files = sorted(
            p for end in ("jpg", "png") for p in (pictures / subset).glob(f"[ab]/*.{end}")
        )
        for start in range(0, len(files), 2):
            with tarfile.open(folder / subset / f"{start}.tar", "w") as tar:
                for file in files[start : start + 2]:
                    tar.add(file, file.relative_to(pictures / subset))
    return folder


def job_on(root: str | Path, tmp_path: Path, *given: str, of: str = "quickstart.yaml") -> Any:
    settings = (f"data.root={root}", f"output={tmp_path}", "training.global_batch=4", *given)
    return load_job(JOBS / of, settings).job


def on_pictures(root: str | Path, tmp_path: Path) -> Any:
    (tmp_path / "pictures.yaml").write_text(
        "name: pictures\n"
        "model: {name: resnet18_cifar, widths: [4, 8], depths: [1, 1]}\n"
        f"data: {{name: imagenet, root: '{root}', crop: 16, resize: 16}}\n"
        "method: {name: joint}\n"
        "optimizer: {lr: 0.05}\n"
        "training: {epochs: 1, global_batch: 4}\n"
    )
    return load_job(tmp_path / "pictures.yaml", [f"output={tmp_path / 'runs'}"]).job


def epoch(job: Any, number: int = 0) -> list[torch.Tensor]:
    """The inputs and labels of an epoch of training and of an evaluation."""
    train, val = open_datasets(job)
    loaders, found = Loaders(2), []
    for step in train_batches(train, PLAN, rank=0, seed=1, epoch=number, loaders=loaders):
        found += [tensor for batch in step for tensor in (batch.inputs, batch.labels)]
    for batch in eval_batches(val, batch=3, rank=0, world=1, loaders=loaders):
        assert batch.broken == []
        found += [batch.inputs, batch.labels]
    return found


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


@pytest.mark.parametrize("kind", ["clips", "pictures", "shards"])
def test_an_epoch_over_a_bad_way_is_the_one_from_the_disk_and_a_second_asks_nothing(
    kind: str, s3: str, bad_way: Unreliable, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(kind)
    make: Callable[..., Any] = job_on if kind == "clips" else on_pictures
    put(s3, folder)
    from_disk = [epoch(make(folder, tmp_path), number) for number in (0, 1)]
    bad_way.become(Weather(0.4, seed=3))
    job = make(s3, tmp_path)
    bad_way.asked.clear()
    assert same(epoch(job, 0), from_disk[0])
    listed = {re.sub(r".*prefix=\w+%2F(\w+)%2F.*", r"\1", a) for a in bad_way.asked if "list-" in a}
    assert listed == ({"videos"} if kind == "clips" else {"train", "val"})
    assert all(".json" in one for one in bad_way.asked if one.startswith("HEAD"))
    bad_way.asked.clear()
    assert same(epoch(job, 1), from_disk[1])
    assert bad_way.asked == []
    assert not list(Path(os.environ["ORCH_CACHE"]).rglob("*.part"))
    train, _ = open_datasets(job)
    assert train.source(0).startswith(f"{s3}/")
    assert torch.equal(pickle.loads(pickle.dumps(train)).load(0, None), train.load(0, None))
    assert bad_way.asked == []


def test_images_of_shards_that_do_not_fit_into_the_cache_are_fetched_alone(
    s3: str, pictures: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, shards)
    monkeypatch.setenv("ORCH_CACHE_GB", "0.000022")  # two of three tars of 10,240 bytes
    job = on_pictures(s3, tmp_path)
    train, val = open_datasets(job)
    copies = Path(os.environ["ORCH_CACHE"]) / "objects"
    from_disk = [open_datasets(on_pictures(pictures, tmp_path))[n] for n in (0, 1)]
    for _ in range(2):
        for there, here in ((train, from_disk[0]), (val, from_disk[1])):
            for index in range(len(here)):
                assert torch.equal(there.load(index, None), here.load(index, None))
                assert sum(file.stat().st_size for file in copies.glob("*/*")) <= 22_000
    assert list(copies.glob("*/*.part"))


def test_the_official_files_of_cifar_are_read_in_their_folder_or_archive(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(n % 10, f"{n}.png") for n in range(4)]
    pixels = np.random.default_rng(0).integers(256, size=(4, 32, 32, 3), dtype=np.uint8)
    files = {name: cifar10_batch(name, pixels, rows) for name in CIFAR10_BATCHES}
    files["batches.meta"] = python2_pickle({"label_names": list("abcdefghij")})
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        for name, content in files.items():
            folder_at(f"{s3}/unpacked/cifar-10-batches-py").write(name, content)
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    packed = (tmp_path / "cifar-10-python.tar.gz").read_bytes()
    folder_at(f"{s3}/packed").write("cifar-10-python.tar.gz", packed)
    ours = replace(Cifar10.layout, md5=hashlib.md5(packed).hexdigest())
    monkeypatch.setattr(Cifar10, "layout", ours)
    for place in ("unpacked", "unpacked/cifar-10-batches-py", "packed"):
        given = ("data.name=cifar10", f"data.root={s3}/{place}", f"output={tmp_path}")
        train, val = open_datasets(load_job(JOBS / "cifar10_r18.yaml", given).job)
        assert (len(train), len(val)) == (20, 4)
        assert np.array_equal(val.load(3, None).permute(1, 2, 0).numpy(), pixels[3])


def test_only_the_videos_may_be_in_a_bucket(s3: str, clips: Path, tmp_path: Path) -> None:
    put(s3, clips / "videos")
    from_disk = epoch(job_on(clips, tmp_path))
    shutil.rmtree(clips / "videos")
    job = job_on(clips, tmp_path, f"data.videos={s3}")
    preflight.check(job)
    assert same(epoch(job), from_disk)


def test_data_that_a_bucket_lacks_is_named_with_how_to_get_it(s3: str, tmp_path: Path) -> None:
    with pytest.raises(MissingData) as caught:
        open_datasets(job_on(s3, tmp_path))
    assert f"no file {s3}/activity_net.v1-3.min.json" in str(caught.value)
    assert f"no folder {s3}/videos" in str(caught.value)
    assert "http://activity-net.org" in str(caught.value)


def test_a_video_that_is_gone_is_broken_and_a_storage_that_refuses_is_no_fault_of_a_video(
    s3: str, clips: Path, bad_way: Unreliable, tmp_path: Path
) -> None:
    put(s3, clips)
    train, _ = open_datasets(job_on(s3, tmp_path))
    folder_at(s3).remove(f"videos/{Path(train.source(0)).name}")
    with pytest.raises(ValueError, match="no such file") as caught:
        train.load(0, None)
    assert str(caught.value).startswith(train.source(0))
    folder_at(s3).write(f"videos/{Path(train.source(2)).name}", b"no video at all")
    with pytest.raises(BrokenVideo, match="cannot be") as caught:
        train.load(2, None)
    assert str(caught.value).startswith(train.source(2))
    assert os.environ["ORCH_CACHE"] not in str(caught.value)
    bad_way.become((403, b"<Error><Code>AccessDenied</Code></Error>"))
    with pytest.raises(StorageTrouble, match="access is denied"):
        train.load(1, None)


@pytest.mark.parametrize("lost", ["fetched", "looked at", "read"])
def test_a_video_whose_copy_is_removed_is_read_from_another_one(
    lost: str, s3: str, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, clips)
    here, there = (open_datasets(job_on(root, tmp_path))[0] for root in (clips, s3))
    copies, removed = Path(os.environ["ORCH_CACHE"]) / "objects", []
    module, name = {
        "fetched": (s3_fetch.Remote, "check"),
        "looked at": (library, "probe"),
        "read": (video_clips, "frames"),
    }[lost]
    really = getattr(module, name)

    def remove(*given: Any) -> Any:
        if not removed:
            removed.append(True)
            shutil.rmtree(copies)
            if lost == "looked at":
                raise BrokenVideo(given[0], "cannot be opened")  # so says decord
        return really(*given)

    monkeypatch.setattr(module, name, remove)
    for seed in (1, 2):
        found, expected = (one.load(0, np.random.default_rng(seed)) for one in (there, here))
        assert torch.equal(found, expected)
    assert removed


def test_an_object_that_changes_after_it_was_listed_is_read_as_it_is(s3: str) -> None:
    folder_at(s3).write("list/one.txt", b"old")
    place = S3Path.at(f"{s3}/list")
    assert [one.name for one in place.iterdir()] == ["one.txt"]
    folder_at(s3).write("list/one.txt", b"newer")
    for _ in range(2):
        assert (place / "one.txt").read_bytes() == b"newer"


def test_an_empty_image_of_a_shard_is_broken_and_a_key_that_no_path_has_is_no_class(
    s3: str, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "shard" / "val").mkdir(parents=True)
    for subset in ("train", "val"):
        with tarfile.open(tmp_path / "shard.tar", "w") as tar:
            for name in ("a/1.jpg", "b/1.jpg"):
                tar.add(pictures / "train" / name, name)
            tar.addfile(tarfile.TarInfo("b/2.jpg"))
        folder_at(s3).write(f"{subset}/0.tar", (tmp_path / "shard.tar").read_bytes())
        folder_at(s3).write(f"{subset}//z.jpg", b"no path")
    train, _ = open_datasets(on_pictures(s3, tmp_path))
    assert [train.label(index) for index in range(len(train))] == [0, 1, 1]
    for _ in ("from the copy of the shard", "alone"):
        with pytest.raises(BrokenImage, match="cannot be decoded"):
            train.load(2, None)
        shutil.rmtree(Path(os.environ["ORCH_CACHE"]) / "objects", ignore_errors=True)
    assert {one.name for one in S3Path.at(f"{s3}/train").iterdir()} == {"0.tar"}


def test_a_place_in_a_bucket_is_asked_like_a_path(s3: str, tmp_path: Path) -> None:
    for name in ("a/b/two.mp4", "a/one.json", "a.b/three"):
        folder_at(s3).write(name, name.encode())
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    for name in ("", "a", "a/b", "a/b/two.mp4", "a/one.json", "a.b", "a/none", "none"):
        there, here = S3Path.at(s3) / name, tmp_path / name
        assert (there.is_dir(), there.is_file()) == (here.is_dir(), here.is_file()), name
        if here.is_dir():
            assert {one.name for one in there.iterdir()} == {one.name for one in here.iterdir()}
        if here.is_file():
            assert there.read_bytes() == here.read_bytes()
            assert (there.suffix, there.stem) == (here.suffix, here.stem)
    folder_at(s3).write("twice/x", b"an object")
    folder_at(s3).write("twice/x/y", b"below one of its name")
    assert [one.name for one in S3Path.at(f"{s3}/twice").iterdir()] == ["x"]
    assert S3Path.at(s3) / "/elsewhere" == Path("/elsewhere")
    assert Path("/elsewhere") / S3Path.at(s3) == S3Path.at(s3)


def test_a_loader_process_has_the_time_for_which_a_bucket_is_waited_for(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "10")
    frozen_until_the_end = 10 * (10 + 60 + 20)
    given = f"data.videos=s3://{clips.name}"
    for job in (job_on("s3://data/x", tmp_path), job_on(clips, tmp_path, given)):
        assert patience(job) >= s3_fetch.PATIENCE_SECONDS + frozen_until_the_end
    assert patience(job_on(clips, tmp_path)) == 0
