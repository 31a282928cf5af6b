"""CIFAR-10 and CIFAR-100 in their official layouts: pickled as Python 2 did, and real ones."""

import hashlib
import lzma
import os
import pickle
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch

from orchestrator.data.cifar import Cifar10, Cifar10Settings, Cifar100, Cifar100Settings
from orchestrator.errors import DataError
from tests.real_data import (
    CIFAR10_BATCHES,
    cifar10_batch,
    cifar10_official,
    cifar100_file,
    cifar100_meta,
    cifar100_official,
    real_data,
)

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

# Published with the data set; data/README of the rebuilt files repeats them.
MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
}


def small_batch(number: int) -> tuple[np.ndarray, list[tuple[int, str]]]:
    images = np.random.default_rng(number).integers(256, size=(20, 32, 32, 3), dtype=np.uint8)
    return images, [((number + i) % 10, f"image_{i}.png") for i in range(20)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for number, name in enumerate(CIFAR10_BATCHES):
        (folder / name).write_bytes(cifar10_batch(name, *small_batch(number)))
    names = "".join(f"S'{name}'\na" for name in CLASSES)  # pickle protocol 0, as text
    (folder / "batches.meta").write_text(f"(dS'label_names'\n(l{names}s.")
    return tmp_path


def cifar10(root: Path, *, train: bool, **settings: int) -> Cifar10:
    return Cifar10(Cifar10Settings(root=str(root), **settings), train=train, num_segments=None)


def test_images_labels_and_names_are_those_of_the_files(root: Path) -> None:
    train, test = cifar10(root, train=True), cifar10(root, train=False)
    assert (len(train), len(test), train.num_classes) == (100, 20, 10)
    assert train.class_names == CLASSES
    images, rows = small_batch(1)
    assert np.array_equal(train.load(23, None).permute(1, 2, 0).numpy(), images[3])
    assert [train.label(20 + i) for i in range(20)] == [label for label, _ in rows]
    assert test.targets(4) == [test.label(4)] == [small_batch(5)[1][4][0]]
    assert test.source(4) == "cifar-10-batches-py test image 4"


def test_training_crops_are_shifts_of_the_padded_image_or_of_its_mirror(root: Path) -> None:
    train, generator = cifar10(root, train=True), np.random.default_rng(0)
    image = train.load(0, None).numpy()
    padded = [np.pad(side, ((0, 0), (4, 4), (4, 4))) for side in (image, image[..., ::-1])]
    shifts = {
        side[:, top : top + 32, left : left + 32].tobytes(): (mirror, top, left)
        for mirror, side in enumerate(padded)
        for top in range(9)
        for left in range(9)
    }
    seen = [shifts[train.load(0, generator).contiguous().numpy().tobytes()] for _ in range(2000)]
    assert np.mean([mirror for mirror, _, _ in seen]) == pytest.approx(0.5, abs=0.04)
    assert np.mean([top for _, top, _ in seen]) == pytest.approx(4, abs=0.25)
    assert np.mean([left for _, _, left in seen]) == pytest.approx(4, abs=0.25)
    assert np.corrcoef(np.array(seen).T)[np.triu_indices(3, 1)] == pytest.approx(0, abs=0.1)
    assert {top for _, top, _ in seen} == {left for _, _, left in seen} == set(range(9))


def test_a_limit_takes_images_from_the_whole_list(root: Path) -> None:
    few = cifar10(root, train=True, limit_train=5)
    assert [few.source(i).split()[-1] for i in range(5)] == ["10", "30", "50", "70", "90"]
    assert len(cifar10(root, train=False, limit_train=5)) == 20
    assert len(cifar10(root, train=False, limit_val=7)) == 7


def test_missing_files_are_named_with_their_place_and_source(root: Path) -> None:
    settings = Cifar10Settings(root=str(root))
    assert Cifar10.missing(settings) == []
    (root / "cifar-10-batches-py" / "data_batch_3").unlink()
    (root / "cifar-10-batches-py" / "test_batch").unlink()
    (message,) = Cifar10.missing(settings)
    assert f"no data_batch_3, test_batch in {root / 'cifar-10-batches-py'}" in message
    assert "https://www.cs.toronto.edu/~kriz/cifar.html" in message


def pack(root: Path) -> Path:
    """Put the official files back into their archive; return it."""
    archive = root / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(root / "cifar-10-batches-py", "cifar-10-batches-py")
    shutil.rmtree(root / "cifar-10-batches-py")
    return archive


def test_the_folder_itself_and_the_archive_serve_as_well(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_CACHE", str(tmp_path / "cache"))
    folder = root / "cifar-10-batches-py"
    expected = cifar10(root, train=True)
    assert torch.equal(cifar10(folder, train=True).load(7, None), expected.load(7, None))
    archive = pack(root)
    digest = hashlib.md5(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(Cifar10, "layout", replace(Cifar10.layout, md5=digest))
    for place in (root, archive):
        assert torch.equal(cifar10(place, train=True).load(7, None), expected.load(7, None))
        assert Cifar10.missing(Cifar10Settings(root=place)) == []
    [unpacked] = (tmp_path / "cache/unpacked").glob("cifar-10-batches-py-*")
    assert unpacked.stat().st_mode == unpacked.parent.stat().st_mode  # others may read it
    (unpacked / "data_batch_3").unlink()  # as cleaners of caches do
    assert torch.equal(cifar10(archive, train=True).load(47, None), expected.load(47, None))
    monkeypatch.setattr(tarfile, "open", None)  # it is unpacked once
    assert len(cifar10(archive, train=False)) == 20


def test_an_archive_serves_where_some_of_its_files_lie_beside_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_CACHE", str(root / "cache"))
    archive, folder = pack(root), root / "cifar-10-batches-py"
    digest = hashlib.md5(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(Cifar10, "layout", replace(Cifar10.layout, md5=digest))
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"cut")
    assert Cifar10.missing(Cifar10Settings(root=str(root))) == []
    assert len(cifar10(root, train=True)) == 100


def test_names_of_classes_are_text_in_utf_8(root: Path) -> None:
    meta = root / "cifar-10-batches-py" / "batches.meta"
    names = [name.encode() for name in CLASSES]
    meta.write_bytes(pickle.dumps({b"label_names": ["ca\u00f1\u00f3n".encode(), *names[1:]]}))
    assert cifar10(root, train=True).class_names == ["ca\u00f1\u00f3n", *CLASSES[1:]]
    meta.write_bytes(pickle.dumps({b"label_names": ["\u00e9".encode("latin-1"), *names[1:]]}))
    with pytest.raises(DataError, match=f"{meta} holds names of classes that are no text"):
        cifar10(root, train=True)


def test_workers_of_a_node_may_unpack_at_the_same_time(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_CACHE", str(root / "cache"))
    archive, layout = pack(root), Cifar10.layout
    layout = replace(layout, md5=hashlib.md5(archive.read_bytes()).hexdigest())
    together, begin = Barrier(3), tarfile.open

    def begin_together(*given: Path) -> tarfile.TarFile:
        together.wait(30)
        return begin(*given)

    monkeypatch.setattr(tarfile, "open", begin_together)
    with ThreadPoolExecutor(3) as threads:
        [folder] = {*threads.map(layout.place, [root] * 3)}
    assert sorted(entry.name for entry in folder.iterdir()) == sorted(MD5)
    assert list(folder.parent.iterdir()) == [folder]


def test_another_archive_than_the_official_one_is_refused(root: Path) -> None:
    archive = pack(root)
    (message,) = Cifar10.missing(Cifar10Settings(root=archive))
    assert message.startswith(f"{archive} is not the official archive, or is damaged: its MD5 is ")
    assert "expected c58f30108f718f92721af3b95e74349a" in message


def test_a_cache_without_room_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = pack(root)
    digest = hashlib.md5(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(Cifar10, "layout", replace(Cifar10.layout, md5=digest))
    monkeypatch.setenv("ORCH_CACHE", str(archive / "no-folder"))
    (message,) = Cifar10.missing(Cifar10Settings(root=root))
    assert "cannot be unpacked into" in message
    assert "ORCH_CACHE" in message


FINE = [f"fine_{number:02}" for number in range(100)]


@pytest.fixture
def root100(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    (folder / "meta").write_bytes(cifar100_meta(FINE, [f"coarse_{n:02}" for n in range(20)]))
    for number, name in enumerate(("train", "test")):
        images, _ = small_batch(number)
        labels = [{"fine_label": f"{5 * n + number}", "coarse_label": f"{n}"} for n in range(20)]
        rows = [{"filename": f"{n}.png", **label} for n, label in enumerate(labels)]
        (folder / name).write_bytes(cifar100_file(images, rows))
    return tmp_path


def cifar100(root: Path, *, train: bool) -> Cifar100:
    return Cifar100(Cifar100Settings(root=str(root)), train=train, num_segments=None)


def test_the_hundred_classes_of_cifar_100_are_the_fine_ones(root100: Path) -> None:
    train, test = cifar100(root100, train=True), cifar100(root100, train=False)
    assert train.class_names == FINE
    assert train.num_classes == 100
    assert [train.label(i) for i in range(20)] == list(range(0, 100, 5))
    assert [test.label(i) for i in range(20)] == list(range(1, 100, 5))
    images, _ = small_batch(1)
    assert np.array_equal(test.load(7, None).permute(1, 2, 0).numpy(), images[7])
    assert train.source(3) == "cifar-100-python training image 3"
    (root100 / "cifar-100-python" / "meta").unlink()
    (message,) = Cifar100.missing(Cifar100Settings(root=str(root100)))
    assert message.startswith(f"CIFAR-100: no meta in {root100 / 'cifar-100-python'}. ")
    assert "cifar-100-python.tar.gz" in message


class MakesFolder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_runs_no_code(root: Path) -> None:
    trap = root / "trap"
    content = pickle.dumps(MakesFolder(trap), protocol=2)
    (root / "cifar-10-batches-py" / "test_batch").write_bytes(content)
    with pytest.raises(DataError, match=r"posix\.mkdir, which is not an array"):
        cifar10(root, train=False)
    assert not trap.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        cifar10_batch("test_batch", *small_batch(5))[:5000],
        pickle.dumps([1, 2], protocol=2),
        cifar10_batch("test_batch", small_batch(5)[0], [(11, "label out of range.png")] * 20),
    ],
    ids=["empty", "text", "cut", "list", "label"],
)
def test_a_damaged_batch_is_named(root: Path, content: bytes) -> None:
    path = root / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        cifar10(root, train=False)
    assert str(path) in str(caught.value)


def test_images_are_not_seen_in_segments(root: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.num_segments is 8"):
        Cifar10(Cifar10Settings(root=str(root)), train=True, num_segments=8)


@pytest.mark.real
def test_the_real_data_set_has_the_published_files_and_classes(tmp_path: Path) -> None:
    root = cifar10_official(tmp_path)
    for name, digest in MD5.items():
        content = (root / "cifar-10-batches-py" / name).read_bytes()
        assert hashlib.md5(content).hexdigest() == digest
    assert Cifar10.missing(Cifar10Settings(root=str(root))) == []
    for train, each in ((True, 5000), (False, 1000)):
        data = cifar10(root, train=train)
        counts = np.bincount([data.label(i) for i in range(len(data))])
        assert counts.tolist() == [each] * 10
        assert data.class_names == CLASSES
    mean = torch.stack([data.load(i, None) for i in range(0, 10000, 10)]).float().mean((0, 2, 3))
    assert torch.allclose(mean / 255, torch.tensor(data.mean), atol=0.02)


@pytest.mark.real
def test_a_tenth_of_the_real_cifar_100_has_its_classes_and_statistics(tmp_path: Path) -> None:
    root = cifar100_official(tmp_path)
    for train, each in ((True, 50), (False, 10)):
        data = cifar100(root, train=train)
        counts = np.bincount([data.label(i) for i in range(len(data))])
        assert counts.tolist() == [each] * 100
        assert data.class_names == sorted(data.class_names)
    pixels = torch.stack([data.load(i, None) for i in range(len(data))]).float() / 255
    assert torch.allclose(pixels.mean((0, 2, 3)), torch.tensor(data.mean), atol=0.01)
    assert torch.allclose(pixels.std((0, 2, 3)), torch.tensor(data.std), atol=0.01)
    first = data.class_names[data.label(0)]
    with lzma.open(real_data() / "cifar100" / "index.csv.xz", "rt") as index:
        assert f"test,0,{data.label(0)},{first}," in index.read()
