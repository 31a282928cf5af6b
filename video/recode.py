"""Videos written again, and those that decord cannot read: by PyAV, else by the program ffmpeg.

Both work in processes of their own, which get and give raw frames. So a copy has the frames that
`video.decode` counts in the original, whatever the one that codes them would have counted.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import IO

import numpy as np
import torch

from video import BrokenVideo
from video.av_program import RATE
from video.decode import Frame
from video.transforms import resize


class Tool(StrEnum):
    """What codes videos."""

    PYAV = "PyAV"
    FFMPEG = "ffmpeg"


class CannotCode(Exception):
    """A tool could not write a video; says why."""


def find_tool() -> Tool | None:
    """Return what there is on this machine, if anything."""
    if importlib.util.find_spec("av"):
        return Tool.PYAV
    return Tool.FFMPEG if shutil.which("ffmpeg") else None


def shrunk(frame: Frame, short_side: int) -> Frame:
    """Return a frame with this short side, or as large as it is if that is less; both sides even.

    Codecs that share colors between neighboring pixels need even sides.
    """
    height, width = frame.shape[:2]
    scale = min(1.0, short_side / min(height, width))
    return resized(frame, *(max(2, 2 * round(side * scale / 2)) for side in (height, width)))


def resized(frame: Frame, height: int, width: int) -> Frame:
    """Return a frame of that size, bilinear with antialiasing."""
    if frame.shape[:2] == (height, width):
        return frame
    channels_first = torch.from_numpy(frame).permute(2, 0, 1)[None]
    return resize(channels_first, height, width)[0].permute(1, 2, 0).contiguous().numpy()


def write_video(frames: Iterator[Frame], target: Path, *, gop: int, crf: int, tool: Tool) -> int:
    """Write frames, all of the first one's size, as H.264 in MP4; return how many there were.

    gop: a key frame after so many. crf: the quality, as x264 counts it: less is better.
    Raises CannotCode.
    """
    first = next(frames, None)
    if first is None:
        raise CannotCode("it has no frames")
    height, width = first.shape[:2]
    with tempfile.TemporaryFile() as said:
        process = _started(_encoder(target, width, height, gop, crf, tool), said, subprocess.PIPE)
        assert process.stdin is not None
        try:
            with process.stdin as into:
                into.write(first.tobytes())
                count = 1
                for frame in frames:
                    into.write(resized(frame, height, width).tobytes())
                    count += 1
        except BrokenPipeError:
            count = 0
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
        if process.returncode or not count:
            raise CannotCode(f"{tool} cannot write it ({_last_line(said)})")
    return count


def read_otherwise(path: Path, tool: Tool) -> Iterator[Frame]:
    """Yield the frames of a video that decord cannot read, in the order in which they are shown.

    All are as large as the first one.
    Raises BrokenVideo when the tool cannot read it to its end either.
    """
    with tempfile.TemporaryFile() as said:
        process = _started(_decoder(path, tool), said, None)
        assert process.stdout is not None
        try:
            count = 0
            size: tuple[int, ...] = ()
            with process.stdout as pictures:
                for frame in _pictures(pictures):
                    size = size or frame.shape[:2]
                    yield resized(frame, *size)
                    count += 1
            process.wait()
        finally:
            process.kill()
            process.wait()
        if process.returncode or not count:
            reason = _last_line(said) if process.returncode else "no frames"
            raise BrokenVideo(path, f"{tool} cannot read it ({reason})")


def _pictures(stream: IO[bytes]) -> Iterator[Frame]:
    """Yield the pictures of a stream in the format PPM, up to one that is cut short."""
    while stream.readline() == b"P6\n":
        width, height = map(int, stream.readline().split())
        stream.readline()
        content = stream.read(width * height * 3)
        if len(content) < width * height * 3:
            return
        yield np.frombuffer(bytearray(content), np.uint8).reshape(height, width, 3)


def _started(
    command: Sequence[str], said: IO[bytes], given: int | None
) -> "subprocess.Popen[bytes]":
    """Start a tool that reads frames (given: a pipe), or writes them; said: its messages."""
    paths = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen(
        command,
        stdin=given or subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if given else subprocess.PIPE,
        stderr=said,
        env=os.environ | {"PYTHONPATH": paths},
    )


def _encoder(target: Path, width: int, height: int, gop: int, crf: int, tool: Tool) -> list[str]:
    numbers = [str(number) for number in (width, height, gop, crf)]
    if tool is Tool.PYAV:
        return [sys.executable, "-m", "video.av_program", "encode", str(target), *numbers]
    return [
        *("ffmpeg", "-y", "-loglevel", "error"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(RATE)),
        *("-i", "pipe:0", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "veryfast"),
        *("-tune", "fastdecode", "-crf", str(crf), "-threads", "1"),
        *("-x264-params", f"keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0"),
        *("-fflags", "+bitexact", "-f", "mp4", str(target)),
    ]


def _decoder(path: Path, tool: Tool) -> list[str]:
    if tool is Tool.PYAV:
        return [sys.executable, "-m", "video.av_program", "decode", str(path)]
    return [
        *("ffmpeg", "-nostdin", "-loglevel", "error", "-xerror"),
        *("-i", f"file:{path}", "-map", "0:v:0", "-fps_mode", "passthrough"),
        *("-f", "image2pipe", "-c:v", "ppm", "pipe:1"),
    ]


def _last_line(said: IO[bytes]) -> str:
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "without a word"
