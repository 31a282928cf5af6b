"""Tars of images, and what ImageNet finds in them."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from orchestrator.data.imagenet import ImageNet, ImageNetSettings


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(256, size=(24, 30, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def tar(files: Mapping[str, bytes | str], mode: str = "w") -> bytes:
    """Return a tar of some files; a hard link has for content the name of its file, "-> NAME" a
    symbolic one."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as packed:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(data, str):
                info.type = tarfile.SYMTYPE if data.startswith("-> ") else tarfile.LNKTYPE
                info.linkname, data = data.removeprefix("-> "), b""
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


def sets_of(root: Path, files: Mapping[str, bytes | str]) -> Path:
    """Write one tar for both sets."""
    return write(root, {f"{subset}/0.tar": tar(files) for subset in ("train", "val")})


def classes_in(data: ImageNet) -> dict[str, str]:
    """Return the class of each image by its name in the tar."""
    names = (data.source(i).partition(".tar/")[2] for i in range(len(data)))
    return {name: data.class_of(i) for i, name in enumerate(names)}


def same_images(one: ImageNet, other: ImageNet) -> bool:
    return len(one) == len(other) and all(
        one.label(i) == other.label(i) and torch.equal(one.load(i, None), other.load(i, None))
        for i in range(len(one))
    )
