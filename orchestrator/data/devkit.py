"""The classes of ImageNet's validation images, from the development kit of ILSVRC 2012.

The official tar of these images says nothing of them. The kit has a number for each image, in the
order of their names, and in meta.mat the synsets in the order of these numbers.
"""

import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Literal

from orchestrator.errors import DataError
from video.anywhere import Place, at_hand

NAME = "ILSVRC2012_devkit_t12.tar.gz"
CLASSES = 1000
TRUTH, SYNSETS = "data/ILSVRC2012_validation_ground_truth.txt", "data/meta.mat"
_SYNSET = re.compile(rb"n\d{8}")
_HEADER, _COMPRESSED = 128, 15  # of a MATLAB file of version 5: bytes; a type of element


def validation_classes(kit: Place) -> list[str]:
    """Return the class of each validation image, in the order of their numbers.

    Raises DataError for a kit that cannot be read, and OSError.
    """
    try:
        with at_hand(kit) as path, tarfile.open(path) as packed:
            files = {
                wanted: content.read()
                for member in packed
                for wanted in (TRUTH, SYNSETS)
                if member.name.endswith(f"/{wanted}") and (content := packed.extractfile(member))
            }
        return _classes(files)
    except (tarfile.TarError, EOFError, zlib.error, ValueError, KeyError, IndexError) as error:
        raise DataError(
            f"{kit} is not the official development kit, or is damaged ({error}). It comes from "
            "https://image-net.org/download.php."
        ) from error


def _classes(files: Mapping[str, bytes]) -> list[str]:
    found = (synset for part in _elements(files[SYNSETS]) for synset in _SYNSET.findall(part))
    synsets = [synset.decode() for synset in found]
    if len(set(synsets[:CLASSES])) < CLASSES:
        raise ValueError(f"{SYNSETS} names {len(set(synsets))} synsets")
    numbers = [int(number) for number in files[TRUTH].split()]
    if not all(1 <= number <= CLASSES for number in numbers):
        raise ValueError(f"{TRUTH} has numbers beyond {CLASSES}")
    return [synsets[number - 1] for number in numbers]


def _elements(content: bytes) -> Iterator[bytes]:
    """Yield the elements of a MATLAB file of version 5, unpacked."""
    order: Literal["little", "big"] = "little" if content[126:_HEADER] == b"IM" else "big"
    at = _HEADER
    while at + 8 <= len(content):
        kind = int.from_bytes(content[at : at + 4], order)
        size = int.from_bytes(content[at + 4 : at + 8], order)
        element = content[at + 8 : at + 8 + size]
        yield zlib.decompress(element) if kind == _COMPRESSED else element
        at += 8 + size
