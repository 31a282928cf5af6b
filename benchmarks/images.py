"""What an image costs: CPU time from a JPEG to a training crop of 224 x 224, by orch and by Pillow.

    python -m benchmarks.images --images FOLDER [--rounds 20] [--count 100]

Both take the same crop of the same files in turn: Pillow decodes, cuts and resizes (bilinear, as
torchvision's RandomResizedCrop does); orch does what `ImageNet.load` does. "prepared" are copies
whose short side is 288, in JPEG of quality 90. Ratios are those of the same round, of which the
median is kept.

Where a folder has only images that are no larger than the copies, preparing them shows nothing.
So the same is measured of images like most of ImageNet's: 500 x 375, cut from four of the folder
side by side, in JPEG of quality 95 (some 0.6 bytes a pixel).
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.results_file import conditions, keep, positive
from orchestrator.data.image_file import decode_bytes
from orchestrator.data.image_transforms import choose_crop, random_resized_crop

CROP, SHORT_SIDE, QUALITY = 224, 288, 90
LARGE, LARGE_QUALITY = (500, 375), 95
Way = Callable[[bytes, int], np.ndarray]


def by_orch(content: bytes, seed: int) -> np.ndarray:
    """Decode, cut, and resize in torch."""
    image = torch.from_numpy(decode_bytes(content, "")).permute(2, 0, 1)
    crop = random_resized_crop(image, CROP, np.random.default_rng(seed))
    return crop.contiguous().permute(1, 2, 0).numpy()


def by_pillow(content: bytes, seed: int) -> np.ndarray:
    """Decode, cut, and resize in Pillow."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    top, left, height, width = choose_crop(image.height, image.width, np.random.default_rng(seed))
    part = image.crop((left, top, left + width, top + height))
    return np.asarray(part.resize((CROP, CROP), Image.Resampling.BILINEAR))


def prepared(content: bytes) -> bytes:
    """Return a copy with the short side that is enough for a crop."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    factor = SHORT_SIDE / min(image.size)
    if factor < 1:
        size = (round(image.width * factor), round(image.height * factor))
        image = image.resize(size, Image.Resampling.BILINEAR)
    return _jpeg(image, QUALITY)


def composed(contents: list[bytes]) -> list[bytes]:
    """Return as many images of the size LARGE, each with parts of four: none is scaled."""
    width, height = LARGE[0] // 2, LARGE[1] // 2 + 1
    made = []
    for first in range(len(contents)):
        image = Image.new("RGB", LARGE)
        for quarter in range(4):
            part = Image.open(io.BytesIO(contents[(first + quarter) % len(contents)]))
            image.paste(
                part.convert("RGB").crop((0, 0, width, height)),
                (quarter % 2 * width, quarter // 2 * height),
            )
        made.append(_jpeg(image, LARGE_QUALITY))
    return made


def _jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def timed(way: Way, contents: list[bytes], seed: int) -> float:
    """Return the CPU milliseconds of one image, in the mean."""
    begin = time.process_time()
    for place, content in enumerate(contents):
        way(content, seed + place)
    return 1000 * (time.process_time() - begin) / len(contents)


def measured(contents: list[bytes], rounds: int) -> dict[str, object]:
    """Return the figures of some images, and of copies of them that are prepared."""
    small = [prepared(content) for content in contents]
    far = [
        np.abs(by_orch(content, place).astype(float) - by_pillow(content, place)).mean()
        for place, content in enumerate(contents)
    ]
    ways: dict[str, tuple[Way, list[bytes]]] = {
        "pillow": (by_pillow, contents),
        "orch": (by_orch, contents),
        "pillow, prepared": (by_pillow, small),
        "orch, prepared": (by_orch, small),
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, (way, files) in ways.items():
            spent[name].append(timed(way, files, number))
    return {
        "images": len(contents),
        "mean_side": round(statistics.mean(sum(_size(one)) / 2 for one in contents)),
        "kilobytes": round(statistics.mean(map(len, contents)) / 1000, 1),
        "kilobytes_prepared": round(statistics.mean(map(len, small)) / 1000, 1),
        "ms": {name: round(statistics.median(times), 2) for name, times in spent.items()},
        "pillow_over_orch": _ratio(spent["pillow"], spent["orch"]),
        "pillow_over_orch_prepared": _ratio(spent["pillow, prepared"], spent["orch, prepared"]),
        "orch_over_orch_prepared": _ratio(spent["orch"], spent["orch, prepared"]),
        "mean_difference_of_pixels": round(statistics.mean(far), 3),
        "largest_mean_difference_of_an_image": round(max(far), 3),
    }


def main() -> None:
    """Measure both ways, and keep the figures."""
    parser = argparse.ArgumentParser(description="What an image costs.")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--rounds", type=positive, default=20)
    parser.add_argument("--count", type=positive, default=100)
    given = parser.parse_args()
    torch.set_num_threads(1)
    about = conditions(f"python -m benchmarks.images --images FOLDER --rounds {given.rounds}")
    paths = sorted(given.images.rglob("*.JPEG"))
    contents = [path.read_bytes() for path in paths[:: max(1, len(paths) // given.count)]]
    kinds = {"as they come": contents, "like ImageNet's": composed(contents)}
    keep(
        "images",
        {**about, "of": {kind: measured(some, given.rounds) for kind, some in kinds.items()}},
    )


def _size(content: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(content)).size


def _ratio(times: list[float], others: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(times, others, strict=True)), 2)


if __name__ == "__main__":
    main()
