"""Image files: Pillow's pixels by whatever decoder, each mode by its range, or broken by name."""

import io
import struct
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from PIL import Image

from orchestrator.data import image_file
from orchestrator.data.image_file import decode_bytes, decode_image
from orchestrator.data.images import BrokenImage
from tests.real_data import real_data

DRAWN = np.random.default_rng(0).integers(256, size=(24, 36, 3), dtype=np.uint8)


def stored(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def by_pillow(content: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpegs_have_the_pixels_that_pillow_gives(
    mode: str, subsampling: int, progressive: bool
) -> None:
    image = Image.fromarray(DRAWN).convert(mode)
    content = stored(image, "JPEG", subsampling=subsampling, progressive=progressive)
    assert np.array_equal(decode_bytes(content, "x"), by_pillow(content))


def test_a_whole_jpeg_needs_no_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    content = stored(Image.fromarray(DRAWN), "JPEG")
    expected = by_pillow(content)
    monkeypatch.delattr(Image, "open")
    assert np.array_equal(decode_bytes(content, "x"), expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_pngs_have_the_pixels_that_pillow_gives(mode: str) -> None:
    content = stored(Image.fromarray(DRAWN).convert(mode), "PNG")
    assert np.array_equal(decode_bytes(content, "x.jpg"), by_pillow(content))


@pytest.mark.parametrize("kind", ["WEBP", "GIF", "BMP", "MPO", "PNG", "JPEG"])
def test_other_formats_have_the_pixels_that_pillow_gives(kind: str) -> None:
    drawn = Image.fromarray(DRAWN)
    more = {"save_all": True, "append_images": [drawn.rotate(180)]} if kind == "MPO" else {}
    content = stored(drawn, kind, **more)
    assert np.array_equal(decode_bytes(content, "x.jpg"), by_pillow(content))


def test_a_jpeg_with_others_behind_it_is_one_for_pillow_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = Image.fromarray(DRAWN)
    content = stored(drawn, "MPO", save_all=True, append_images=[drawn.rotate(180)])
    assert Image.open(io.BytesIO(content)).format == "MPO"
    monkeypatch.setattr(image_file, "JPEG", b"no magic")
    assert np.array_equal(decode_bytes(content, "x.jpg"), by_pillow(content))


def test_threads_leave_the_filters_of_warnings_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (stored(Image.new("P", (side, 4)), "PNG") for side in (4, 5))
    first_is_in, second_is_in, first_is_out = Event(), Event(), Event()
    whole, before = image_file._rgb, [*warnings.filters]

    def in_turns(image: Image.Image) -> image_file.Pixels:
        if image.width == 4:
            first_is_in.set()
            assert second_is_in.wait(30)
        else:
            second_is_in.set()
            assert first_is_out.wait(30)
        return whole(image)

    monkeypatch.setattr(image_file, "_rgb", in_turns)
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(decode_bytes, first, "x")
        assert first_is_in.wait(30)
        other = threads.submit(decode_bytes, second, "y")
        one.result()
        first_is_out.set()
        other.result()
    assert warnings.filters == before


def test_gray_of_16_bits_keeps_its_shades() -> None:
    shades = np.linspace(0, 65535, 256 * 4).reshape(32, 32).astype(np.uint16)
    found = decode_bytes(stored(Image.fromarray(shades), "PNG"), "x.png")
    assert found.shape == (32, 32, 3)
    assert np.abs(found[..., 1] - shades / 257).max() <= 0.5


def test_gray_of_16_bits_takes_little_more_memory_than_its_pixels() -> None:
    content = stored(Image.fromarray(np.full((512, 1024), 40_000, np.uint16)), "PNG")
    tracemalloc.start()
    found = decode_bytes(content, "x.png")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.unique(found).tolist() == [156]
    assert peak < 7 * 512 * 1024


def test_numbers_without_a_range_are_no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_file, "FORMATS", ("TIFF",))
    for mode, said in (("I", "whole numbers of 32 bits"), ("F", "floating-point numbers")):
        content = stored(Image.new(mode, (4, 4), 7), "TIFF")
        with pytest.raises(BrokenImage, match=rf"x\.jpg: has {said} for pixels"):
            decode_bytes(content, "x.jpg")


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


@pytest.mark.parametrize(
    ("width", "height", "said"),
    [
        (9_000, 9_000, "has 9000 x 9000 pixels, at most 67 million"),
        (90_000, 90_000, "bomb"),
        (1, 70_000, "has 1 x 70000 pixels, at most 65,535 on a side"),
        (70_000, 1, "has 70000 x 1 pixels, at most 65,535 on a side"),
    ],
)
def test_an_image_too_large_for_memory_is_named_before_it_is_decoded(
    width: int, height: int, said: str
) -> None:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(BrokenImage, match=said):
        decode_bytes(png, "x.png")


@pytest.mark.parametrize(
    "magic",
    [b"", b"no image", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0", b"BM", b"RIFF"],
)
def test_a_damaged_file_is_broken_whatever_it_begins_with(magic: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    for seed in range(20):
        path.write_bytes(magic + np.random.default_rng(seed).bytes(seed * 40))
        with pytest.raises(BrokenImage, match=r"x\.jpg: cannot be decoded") as caught:
            decode_image(str(path))
        assert "\n" not in caught.value.reason


def test_what_is_no_image_is_broken_for_the_same_reason_each_time() -> None:
    with pytest.raises(BrokenImage) as caught:
        decode_bytes(b"<html>404 Not Found</html>", "x.jpg")
    assert caught.value.reason == (
        "cannot be decoded (no beginning of a JPEG, PNG, WEBP, GIF or BMP file)"
    )


def test_a_file_with_a_damaged_head_is_not_called_another_one() -> None:
    content = bytearray(stored(Image.fromarray(DRAWN), "PNG"))
    content[29] ^= 1  # of the checksum of its head
    with pytest.raises(BrokenImage) as caught:
        decode_bytes(bytes(content), "x.png")
    assert caught.value.reason == (
        "cannot be decoded (the beginning of a PNG file, damaged right behind it)"
    )


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_jpeg_that_is_cut_off_is_broken(share: float) -> None:
    content = stored(Image.fromarray(DRAWN), "JPEG")
    with pytest.raises(BrokenImage, match="cannot be decoded"):
        decode_bytes(content[: int(share * len(content))], "x.jpg")


@pytest.mark.real
def test_real_photographs_have_the_pixels_that_pillow_gives() -> None:
    paths = sorted((real_data() / "imagenet10").rglob("*.JPEG"))[::10]
    assert len(paths) > 10
    for path in paths:
        content = path.read_bytes()
        assert np.array_equal(decode_bytes(content, "x"), by_pillow(content)), path
