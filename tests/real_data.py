"""The real data that some tests read, arranged as the data sets expect it.

ORCH_REAL_DATA names the folder; without it these tests are skipped.
"""

import csv
import io
import json
import lzma
import os
import shutil
import struct
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

CIFAR10_BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
ACTION_SUBSETS = {"train": "training", "val": "validation"}


def real_data() -> Path:
    """Return the folder of the real data, or skip the test."""
    folder = os.environ.get("ORCH_REAL_DATA")
    if not folder:
        pytest.skip("ORCH_REAL_DATA does not name the folder of the real data")
    path = Path(folder).resolve()
    if not path.is_dir():
        pytest.skip(f"ORCH_REAL_DATA names {path}, which is no folder")
    return path


def cifar10_official(folder: Path) -> Path:
    """Rebuild cifar-10-batches-py below a folder, byte for byte; return the data set's root."""
    source = real_data() / "cifar10"
    target = folder / "cifar-10-batches-py"
    target.mkdir(parents=True)
    index = _cifar10_index(source / "index.csv.xz")
    for name in CIFAR10_BATCHES:
        images = _cifar_images(source / f"{name}.tar")
        (target / name).write_bytes(cifar10_batch(name, images, index[name]))
    shutil.copyfile(source / "batches.meta", target / "batches.meta")
    return folder


def cifar100_official(folder: Path) -> Path:
    """Write cifar-100-python below a folder, of a tenth of the images; return the set's root.

    5,000 images for training and 1,000 for the test, equally many of each class.
    """
    source = real_data() / "cifar100"
    target = folder / "cifar-100-python"
    target.mkdir(parents=True)
    with lzma.open(source / "index.csv.xz", "rt", newline="") as file:
        index = list(csv.DictReader(file))
    for split in ("train", "test"):
        rows = [row for row in index if row["split"] == split]
        images = _cifar_images(source / f"{split}.tar")
        (target / split).write_bytes(cifar100_file(images, rows))
    names = [
        sorted({(int(row[f"{kind}_label"]), row[f"{kind}_name"]) for row in index})
        for kind in ("fine", "coarse")
    ]
    (target / "meta").write_bytes(cifar100_meta(*([name for _, name in kind] for kind in names)))
    return folder


def activitynet_from_actions(folder: Path) -> Path:
    """Link the action clips as an ActivityNet data set below a folder; return its root.

    72 clips of 6 classes: 48 for training, 24 for validation.
    """
    source = real_data() / "videos" / "actions"
    names = (source / "classes.txt").read_text("utf-8").split()
    (folder / "videos").mkdir(parents=True)
    database = {}
    for split, subset in ACTION_SUBSETS.items():
        for line in (source / f"{split}.txt").read_text("utf-8").splitlines():
            file, label = line.rsplit(" ", 1)
            path = source / file
            video_id = path.stem.removeprefix("v_")
            (folder / "videos" / f"v_{video_id}{path.suffix}").symlink_to(path)
            annotations = [{"segment": [0.0, 1.0], "label": names[int(label)]}]
            database[video_id] = {"subset": subset, "annotations": annotations}
    content = {"version": "VERSION 1.3", "taxonomy": [], "database": database}
    (folder / "activity_net.v1-3.min.json").write_text(json.dumps(content), "utf-8")
    return folder


def cifar10_batch(name: str, images: np.ndarray, rows: list[tuple[int, str]]) -> bytes:
    """Return a batch file as Python 2 pickled it: protocol 2, with its memo numbers.

    images: uint8 (images, 32, 32, 3). rows: (label, file name) of each.
    """

    def memo(number: int) -> bytes:
        return b"q" + bytes([number]) if number < 256 else b"r" + struct.pack("<I", number)

    def text(content: bytes) -> bytes:
        return b"U" + bytes([len(content)]) + content

    def by_1000(items: list[bytes]) -> bytes:
        return b"e(".join(b"".join(items[k : k + 1000]) for k in range(0, len(items), 1000))

    title = b"testing batch 1 of 1"
    if name != "test_batch":
        title = b"training batch %s of 5" % name[-1].encode()
    files = [text(file.encode()) + memo(14 + i) for i, (_, file) in enumerate(rows)]
    return b"".join(
        [
            *(b"\x80\x02}q\x01(", text(b"batch_label"), b"q\x02", text(title), b"q\x03"),
            *(text(b"labels"), b"q\x04]q\x05("),
            *(by_1000([b"K" + bytes([label]) for label, _ in rows]), b"e"),
            *(text(b"data"), b"q\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\n"),
            *(b"q\x08K\x00\x85", text(b"b"), b"\x87Rq\t(K\x01M", struct.pack("<H", len(rows))),
            b"M\x00\x0c\x86cnumpy\ndtype\nq\n",
            *(text(b"u1"), b"K\x00K\x01\x87Rq\x0b(K\x03", text(b"|")),
            *(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T", struct.pack("<I", images.size)),
            *(np.ascontiguousarray(images.transpose(0, 3, 1, 2)).tobytes(), b"tb"),
            *(text(b"filenames"), b"q\x0c]q\r(", by_1000(files), b"eu."),
        ]
    )


def cifar100_file(images: np.ndarray, rows: Sequence[Mapping[str, str]]) -> bytes:
    """Return a file of images as Python 2 pickled it, but for its memo numbers.

    images: uint8 (images, 32, 32, 3). rows: file name, fine and coarse label of each.
    """
    return python2_pickle(
        {
            "filenames": [row["filename"] for row in rows],
            "batch_label": "training batch 1 of 1",
            "fine_labels": [int(row["fine_label"]) for row in rows],
            "coarse_labels": [int(row["coarse_label"]) for row in rows],
            "data": images.transpose(0, 3, 1, 2).reshape(len(images), -1),
        }
    )


def cifar100_meta(fine: list[str], coarse: list[str]) -> bytes:
    """Return the file that names the classes."""
    return python2_pickle({"fine_label_names": fine, "coarse_label_names": coarse})


def python2_pickle(content: Mapping[str, Any]) -> bytes:
    """Return a dictionary of texts, numbers below 256, lists and a matrix of uint8, protocol 2."""
    items = b"".join(_pickled(key) + _pickled(value) for key, value in content.items())
    return b"\x80\x02}(" + items + b"u."


def _pickled(value: Any) -> bytes:
    if isinstance(value, str):
        return b"U" + bytes([len(value)]) + value.encode()
    if isinstance(value, int):
        return b"K" + bytes([value])
    if isinstance(value, list):
        return b"](" + b"".join(map(_pickled, value)) + b"e"
    return b"".join(
        [
            *(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85", _pickled("b")),
            *(b"\x87R(K\x01", *(b"J" + struct.pack("<i", n) for n in value.shape), b"\x86"),
            *(b"cnumpy\ndtype\n", _pickled("u1"), b"K\x00K\x01\x87R(K\x03", _pickled("|")),
            *(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T", struct.pack("<I", value.size)),
            *(np.ascontiguousarray(value).tobytes(), b"tb"),
        ]
    )


def _cifar_images(path: Path) -> np.ndarray:
    """Return uint8 (images, 32, 32, 3) from tiles of 10 x 10 images."""
    tiles = []
    with tarfile.open(path) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            file = archive.extractfile(member)
            assert file is not None
            tile = np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB"))
            tiles.append(tile.reshape(10, 32, 10, 32, 3).swapaxes(1, 2).reshape(100, 32, 32, 3))
    return np.concatenate(tiles)


def _cifar10_index(path: Path) -> dict[str, list[tuple[int, str]]]:
    index: dict[str, list[tuple[int, str]]] = {}
    with lzma.open(path, "rt", newline="") as file:
        for row in csv.DictReader(file):
            index.setdefault(row["batch"], []).append((int(row["label"]), row["filename"]))
    return index
