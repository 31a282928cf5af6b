"""Videos whose every frame shows its own number, in coded forms in which decoders lose count.

    python -m tests.video.numbered FOLDER [NAME...]     writes one of each form, or of these

In a process of their own: the libraries of PyAV and of decord do not go together in one.
"""

import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

COUNT = 120
"""How many frames each video has, 25 a second unless it is irregular."""

_B_FRAMES = "bframes=3:b-pyramid=normal:ref=3:scenecut=0"
_REFRESH = "intra-refresh=1:keyint=24:bframes=0"
_HEVC = "log-level=none"
_IRREGULAR = [4 * number + number % 3 + (50 if number > 60 else 0) for number in range(COUNT)]
FORMS: dict[str, dict[str, Any]] = {
    "closed.mp4": {"g": 24, "x264_params": _B_FRAMES},
    "open.mp4": {"g": 24, "x264_params": f"{_B_FRAMES}:open-gop=1"},
    "refresh.mp4": {"x264_params": _REFRESH},
    "one-key.mp4": {"g": 600, "bf": 3},
    "irregular.mp4": {"g": 24, "bf": 3, "times": _IRREGULAR},
    "trimmed.mp4": {"g": 24, "bf": 3},
    "table-first.mp4": {"g": 24, "bf": 3, "container": {"movflags": "faststart"}},
    "fragments.mp4": {"g": 24, "bf": 3, "container": {"movflags": "frag_keyframe+empty_moov"}},
    "mpeg4.mp4": {"codec": "mpeg4", "g": 24, "bf": 2, "b": 800000},
    "jpeg.mov": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "png.mov": {"codec": "png", "pixels": "rgb24"},
    "shrinking.mov": {"codec": "mjpeg", "pixels": "yuvj420p", "shrunk_from": 60},
    "hevc.mp4": {"codec": "libx265", "g": 24, "x265_params": _HEVC},
    "hevc-open.mp4": {"codec": "libx265", "x265_params": f"{_HEVC}:keyint=24:open-gop=1:bframes=3"},
    "closed.mkv": {"g": 24, "x264_params": _B_FRAMES},
    "refresh.mkv": {"x264_params": _REFRESH},
    "vp9.mp4": {"codec": "libvpx-vp9", "g": 24, "b": 500000},
    "mpeg4-plain.mp4": {"codec": "mpeg4", "g": 24, "bf": 0, "b": 800000},
    "vp9.webm": {"codec": "libvpx-vp9", "g": 24, "b": 500000},
    "mpeg4.avi": {"codec": "mpeg4", "g": 24, "bf": 0, "b": 800000},
    "b-frames.avi": {"codec": "mpeg4", "g": 24, "bf": 2, "b": 800000},
    "program.mpg": {"codec": "mpeg2video", "g": 12, "bf": 2, "b": 2000000},
    "transport.ts": {"g": 24, "bf": 3},
    "black-open.mkv": {"g": 12, "x264_params": f"{_B_FRAMES}:open-gop=1", "black": 50},
    "black-b-frames.avi": {"codec": "mpeg4", "g": 12, "bf": 2, "b": 800000, "black": 50},
    "black.mpg": {"codec": "mpeg2video", "g": 12, "bf": 2, "b": 2000000, "black": 50},
}
"""Coded forms of the same frames: the options of `write_video`, by the name of the file."""

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
    codec: str = "libx264",
    *,
    times: Sequence[int] | None = None,
    black: int = 0,
    shrunk_from: int = COUNT,
    pixels: str = "yuv420p",
    container: dict[str, str] | None = None,
    **options: object,
) -> None:
    """Write a video of COUNT numbered frames.

    times: of each, in 1/100 s. black: so many at the beginning are. shrunk_from: the rest
    has half the width. options: of the codec.
    """
    import av

    with av.open(str(path), "w", options=container or {}) as file:
        texts = {name.replace("_", "-"): str(value) for name, value in options.items()}
        stream = file.add_stream(codec, rate=25, options=texts)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        stream.codec_context.time_base = Fraction(1, 25 if times is None else 100)
        small = av.CodecContext.create(codec, "w")
        small.width, small.height, small.pix_fmt = WIDTH // 2, HEIGHT, pixels
        small.time_base = stream.codec_context.time_base
        for number in range(COUNT):
            frame = av.VideoFrame.from_ndarray(picture(number) * (number >= black), "rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = stream.codec_context.time_base
            if number < shrunk_from:
                file.mux(stream.encode(frame))
                continue
            for packet in small.encode(frame.reformat(WIDTH // 2, HEIGHT)):
                packet.stream = stream
                file.mux(packet)
        file.mux(stream.encode(None))


if __name__ == "__main__":
    for name in sys.argv[2:] or FORMS:
        write_video(Path(sys.argv[1]) / name, **FORMS[name])
