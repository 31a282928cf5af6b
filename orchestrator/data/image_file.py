"""Image files as pixels: each mode by its range, JPEGs by the fast decoder where it gives the same.

libjpeg-turbo by way of simplejpeg gives Pillow's pixels for gray and RGB files that are whole.
Pillow decides about the others: CMYK, damaged ones, and other formats, whatever the file is called.
"""

import contextlib
import io
import re
import warnings
from collections.abc import Callable

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from orchestrator.data.images import BrokenImage
from orchestrator.errors import OrchError
from video.anywhere import Place, place_of

MAX_PIXELS = 1 << 26
"""Of one image, 200 MB as pixels; the largest of ImageNet has 61 million."""
MAX_SIDE = 65_535
"""Of one image, as of a JPEG: decoders take memory for each row, however short it is."""
_SHADES = np.rint(np.arange(1 << 16, dtype=np.float32) * np.float32(255 / 65535)).astype(np.uint8)
"""Of gray in 16 bits, the shade in 8."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""What is looked for in a file, whatever its name; other decoders are not tried on damaged ones.

An MPO file is a JPEG with further ones behind it, and is read as that.
"""
UNREAD = "cannot be read"
"""Of a file whose storage does not give its content; another time it may."""
UNKNOWN = f"no beginning of a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
JPEG = b"\xff\xd8\xff"
_BEGINNINGS = {
    "JPEG": JPEG,
    "PNG": b"\x89PNG\r\n\x1a\n",
    "WEBP": b"RIFF....WEBP",
    "GIF": b"GIF8",
    "BMP": b"BM",
}
_WITHOUT_RANGE = {"I": "whole numbers of 32 bits", "F": "floating-point numbers"}

Pixels = NDArray[np.uint8]

# Of odd metadata, once for each sample. Threads decode side by side, and a filter that one of them
# sets only for a while would stay when two of them end in the wrong order.
warnings.filterwarnings("ignore", module=r"PIL\.")


def decode_image(source: str | Place) -> Tensor:
    """Return an image file as uint8 RGB (3, height, width).

    Raises BrokenImage, and what a storage raises that does not answer, which says nothing about it.
    """
    return decode_read(place_of(source).read_bytes, str(source))


def decode_read(read: Callable[[], bytes], source: str) -> Tensor:
    """Return an image as `decode_image` does. read: gets the content of its file; source: its name.

    Raises BrokenImage where that raises OSError, but for a storage that does not answer.
    """
    content = read_content(read, source)
    return torch.from_numpy(decode_bytes(content, source)).permute(2, 0, 1)


def read_content(read: Callable[[], bytes], source: str) -> bytes:
    """Return the content of a file. Raises BrokenImage as `decode_read` does."""
    try:
        return read()
    except OrchError:
        raise
    except OSError as error:
        raise BrokenImage(source, f"{UNREAD} ({error.strerror})") from error


def decode_bytes(content: bytes, source: str) -> Pixels:
    """Return the content of an image file as RGB (height, width, 3). Raises BrokenImage.

    source: its name, for the message.
    """
    if content.startswith(JPEG):
        with contextlib.suppress(ValueError):
            return _jpeg(content)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_size(image.height, image.width)
            return _rgb(image)
    except _Unusable as error:
        raise BrokenImage(source, str(error)) from error
    except UnidentifiedImageError as error:  # which names an address in memory
        raise BrokenImage(source, f"cannot be decoded ({_beginning(content)})") from error
    except Exception as error:  # Pillow's decoders let all kinds escape for damaged files
        raise BrokenImage(source, f"cannot be decoded ({_first_line(error)})") from error


def _beginning(content: bytes) -> str:
    """Return what is said of a file that no decoder takes for one of its own."""
    for name, magic in _BEGINNINGS.items():
        if re.match(magic, content, re.DOTALL):
            return f"the beginning of a {name} file, damaged right behind it"
    return UNKNOWN


class _Unusable(Exception):
    """Says why an image that could be decoded is not."""


def _jpeg(content: bytes) -> Pixels:
    """Decode a gray or RGB JPEG. Raises ValueError for others, and for damaged ones."""
    height, width, colors, _ = simplejpeg.decode_jpeg_header(content)
    if colors not in ("Gray", "YCbCr"):
        raise ValueError(f"a JPEG of {colors}")
    if height * width > MAX_PIXELS:
        raise ValueError("too large")
    pixels: Pixels = simplejpeg.decode_jpeg(content, "RGB")
    return pixels


def _check_size(height: int, width: int) -> None:
    if max(height, width) > MAX_SIDE:
        raise _Unusable(f"has {width} x {height} pixels, at most {MAX_SIDE:,} on a side")
    if height * width > MAX_PIXELS:
        raise _Unusable(f"has {width} x {height} pixels, at most {MAX_PIXELS / 1e6:.0f} million")


def _rgb(image: Image.Image) -> Pixels:
    """Return the pixels of an opened image. Raises _Unusable for numbers without a range."""
    if image.mode.startswith("I;16"):
        return np.repeat(_SHADES[np.asarray(image)][..., None], 3, axis=2)
    if image.mode in _WITHOUT_RANGE:
        raise _Unusable(f"has {_WITHOUT_RANGE[image.mode]} for pixels, whose range is not known")
    return np.array(image.convert("RGB"))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
