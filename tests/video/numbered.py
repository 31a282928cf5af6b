"""Videos whose every frame shows its own number, in coded forms of which decoders lose count."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS, SIDE = 12, 16
"""Of a number, and the height and width of the square that shows one of them."""
HEIGHT, WIDTH = 48, BITS * SIDE


def picture(number: int) -> np.ndarray:
    """Return the frame of a number: its bits in the middle, and something that moves around it."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    frame = np.repeat(((rows * 3 + columns + 5 * number) % 160 + 40)[..., None], 3, axis=2)
    for bit in range(BITS):
        frame[16:32, bit * SIDE : (bit + 1) * SIDE] = 235 if number >> bit & 1 else 20
    return frame.astype(np.uint8)


def numbers_in(frames: np.ndarray) -> list[int]:
    """Return the numbers that frames show, of any size. frames: (frames, height, width, 3)."""
    _, height, width, _ = frames.shape
    row = frames[:, height // 2 - 1 : height // 2 + 2].mean((1, 3))
    at = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    bits = (row[:, at - 1] + row[:, at] + row[:, at + 1]) / 3 > 128
    return [int(number) for number in (bits << np.arange(BITS)).sum(1)]


def write_video(
    path: Path,
    count: int,
    codec: str = "libx264",
    *,
    times: Sequence[int] | None = None,
    pixels: str = "yuv420p",
    container: dict[str, str] | None = None,
    **options: object,
) -> Path:
    """Write a video of numbered frames. times: of each, in 1/100 s. options: of the codec."""
    with av.open(str(path), "w", options=container or {}) as file:
        stream = file.add_stream(codec, rate=25, options=_texts(options))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        stream.codec_context.time_base = Fraction(1, 25 if times is None else 100)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = stream.codec_context.time_base
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def _texts(options: dict[str, object]) -> dict[str, str]:
    return {name.replace("_", "-"): str(value) for name, value in options.items()}
