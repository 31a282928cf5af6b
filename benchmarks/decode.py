"""What a clip costs: CPU time from a file to 8 frames of 224 x 224, by orch and by others.

    python -m benchmarks.decode --videos FOLDER [--work FOLDER] [--rounds 15]

Each way runs in a process of its own, on one thread, and all take the same frames of the same
files in turn; what is compared are CPU times of the same round, of which the median is kept.

- mmaction2: its DecordInit, DecordDecode, Resize and CenterCrop written out (OpenCV resizes).
- decord: opened by path, `get_batch`, then orch's own resizing, as for all that follow.
- pyav: a jump to the key frame before each wanted frame.
- torchcodec: its exact mode, where it can be imported.
- limit: libavcodec (by way of PyAV) given nothing but the packets that the frames need, from
  memory. What orch costs above it is the table, the reading, and decord around the same decoder:
  `over_limit_ms`, to be compared with 5 ms and 15 us for each of these `packets`.

--videos: a folder with arm_wrestling.mp4, person_h264_139s.mp4 and clock_h264_300s.mp4, of which
copies with other groups of pictures are made once in --work.
"""

import argparse
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from functools import cache
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.results_file import conditions, keep, positive

SEGMENTS, SHORT_SIDE, CROP = 8, 256, 224
SOURCES = ("arm_wrestling.mp4", "person_h264_139s.mp4", "clock_h264_300s.mp4")
GROUPS = (12, 48, 250)
PREPARED, OTHERS_PREPARED = 8, 16
THUMBNAIL = 16

Clip = np.ndarray
Way = Callable[[Path, Sequence[int]], Clip]


def by_orch(path: Path, numbers: Sequence[int]) -> Clip:
    """What `ClipDataset` does for a test clip whose video is known."""
    from video.decode import frames

    return _scaled(frames(path, _library().index(path), numbers))


def by_mmaction2(path: Path, numbers: Sequence[int]) -> Clip:
    """DecordInit, DecordDecode in its accurate mode, Resize (-1, 256), CenterCrop 224."""
    import cv2  # type: ignore[import-not-found,unused-ignore]
    import decord

    reader = decord.VideoReader(io.BytesIO(path.read_bytes()), num_threads=1)
    reader.seek(0)
    chosen = reader.get_batch(list(numbers)).asnumpy()
    height, width = chosen.shape[1:3]
    factor = SHORT_SIDE / min(height, width)
    size = (int(width * factor + 0.5), int(height * factor + 0.5))
    scaled = np.stack([cv2.resize(one, size, interpolation=cv2.INTER_LINEAR) for one in chosen])
    top, left = (scaled.shape[1] - CROP) // 2, (scaled.shape[2] - CROP) // 2
    return scaled[:, top : top + CROP, left : left + CROP]


def by_decord(path: Path, numbers: Sequence[int]) -> Clip:
    """decord by path."""
    import decord

    reader = decord.VideoReader(str(path), num_threads=1)
    return _scaled(reader.get_batch(list(numbers)).asnumpy())


def by_pyav(path: Path, numbers: Sequence[int]) -> Clip:
    """PyAV with a jump for each frame."""
    import av

    chosen: list[Clip] = []
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        stream.thread_count = 1
        unit = 1 / (Fraction(stream.average_rate or 25) * Fraction(stream.time_base or 1))
        for number in numbers:
            time_of = round(number * unit) + (stream.start_time or 0)
            file.seek(time_of, stream=stream)
            one = next(one for one in file.decode(stream) if (one.pts or 0) >= time_of - unit / 2)
            chosen.append(one.to_ndarray(format="rgb24"))
    return _scaled(np.stack(chosen))


def by_torchcodec(path: Path, numbers: Sequence[int]) -> Clip:
    """torchcodec's exact mode."""
    from torchcodec.decoders import VideoDecoder  # type: ignore[import-not-found,unused-ignore]

    decoder = VideoDecoder(str(path), num_ffmpeg_threads=1, dimension_order="NHWC")
    return _scaled(decoder.get_frames_at(list(numbers)).data.numpy())


def by_libavcodec(path: Path, numbers: Sequence[int]) -> Clip:
    """libavcodec on the packets that the frames need, which lie in memory."""
    import av

    wanted, kept = _slice(path, tuple(numbers)), []
    with av.open(io.BytesIO(wanted.content), "r") as file:
        file.streams.video[0].thread_count = 1
        for number, one in enumerate(file.decode(video=0)):
            if number in wanted.frames:
                kept.append(one.to_ndarray(format="rgb24"))
    return _scaled(np.stack(kept))


WAYS: dict[str, Way] = {
    "orch": by_orch,
    "mmaction2": by_mmaction2,
    "decord": by_decord,
    "pyav": by_pyav,
    "torchcodec": by_torchcodec,
    "limit": by_libavcodec,
}
NEEDS = {"mmaction2": "cv2", "pyav": "av", "torchcodec": "torchcodec", "limit": "av"}


@cache
def _library():  # type: ignore[no-untyped-def]
    from video.library import Library

    return Library()


@cache
def _slice(path: Path, numbers: tuple[int, ...]):  # type: ignore[no-untyped-def]
    from video.mp4 import read_table
    from video.slices import cut

    return cut(path, read_table(path), numbers)


def _scaled(frames: Clip) -> Clip:
    import torch

    from video.transforms import scale_and_center_crop

    clip = torch.from_numpy(frames).permute(0, 3, 1, 2)
    return scale_and_center_crop(clip, SHORT_SIDE, CROP).permute(0, 2, 3, 1).numpy()


def timed(way: str, path: Path, numbers: Sequence[int]) -> tuple[float, Clip]:
    """Return the CPU milliseconds of one clip, and small pictures of its frames."""
    run = WAYS[way]
    if way == "limit":
        _slice(path, tuple(numbers))
    begin = time.process_time()
    clip = run(path, numbers)
    ms = 1000 * (time.process_time() - begin)
    return ms, clip[:, ::THUMBNAIL, ::THUMBNAIL].copy()


def _set_up() -> None:
    import torch

    torch.set_num_threads(1)


def measured(path: Path, ways: Sequence[str], rounds: int) -> dict[str, object]:
    """Return the figures of one file: milliseconds of each way, and its ratio to orch's."""
    from video.decode import probe

    index, random = probe(path), np.random.default_rng(0)
    spans = [index.frames * place // SEGMENTS for place in range(SEGMENTS + 1)]
    spent: dict[str, list[float]] = {way: [] for way in ways}
    packets: list[int] = []
    unlike = dict.fromkeys(ways, 0.0)
    context = get_context("spawn")
    pools = {way: ProcessPoolExecutor(1, context, initializer=_set_up) for way in ways}
    for number in range(rounds + 2):  # the first two load what is loaded once
        numbers = random.integers(spans[:-1], spans[1:]).tolist()
        found = {
            way: pool.submit(timed, way, path, numbers).result() for way, pool in pools.items()
        }
        for way, (ms, picture) in found.items():
            far = np.abs(picture.astype(float) - found["orch"][1]).mean()
            unlike[way] = max(unlike[way], float(far))
            if number >= 2:
                spent[way].append(ms)
        packets.append(_slice(path, tuple(numbers)).count)
    for pool in pools.values():
        pool.shutdown()
    return {
        "frames": index.frames,
        "packets": round(statistics.median(packets)),
        "ms": {way: round(statistics.median(times), 1) for way, times in spent.items()},
        "over_orch": {way: _ratio(spent[way], spent["orch"]) for way in ways if way != "orch"},
        "over_limit_ms": _distance(spent),
        "mean_difference_of_pixels": {way: round(far, 2) for way, far in unlike.items()},
    }


def _distance(spent: dict[str, list[float]]) -> float | None:
    """Return the milliseconds that orch takes above the limit, where that was measured."""
    if "limit" not in spent:
        return None
    both = zip(spent["orch"], spent["limit"], strict=True)
    return round(statistics.median(own - least for own, least in both), 1)


def _ratio(times: Sequence[float], own: Sequence[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(times, own, strict=True)), 2)


def copies(source: Path, work: Path) -> dict[str, Path]:
    """Return a video and its copies with other groups of pictures, by what they are."""
    made = {"as it comes": source}
    for group in GROUPS:
        made[f"GOP {group}"] = _copy(source, work, group)
    for name, group in (("prepared", PREPARED), ("prepared by others", OTHERS_PREPARED)):
        made[name] = _copy(source, work, group, short_side=SHORT_SIDE)
    return made


def _copy(source: Path, work: Path, group: int, short_side: int | None = None) -> Path:
    import av

    path = work / f"{source.stem}-g{group}{f'-{short_side}' if short_side else ''}.mp4"
    if path.exists():
        return path
    fast = {"preset": "veryfast", "tune": "fastdecode"} if group == PREPARED else {}
    scratch = path.with_suffix(".part.mp4")
    with av.open(str(source)) as given, av.open(str(scratch), "w") as file:
        shown = given.streams.video[0]
        rate = Fraction(shown.average_rate or 25)
        stream = file.add_stream("libx264", rate, options={"g": str(group), **fast})
        factor = short_side / min(shown.width, shown.height) if short_side else 1
        stream.width, stream.height = (
            2 * round(side * factor / 2) for side in (shown.width, shown.height)
        )
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = 1 / rate
        for number, frame in enumerate(given.decode(shown)):
            scaled = frame.reformat(stream.width, stream.height, format="yuv420p")
            scaled.pts, scaled.time_base = number, 1 / rate
            file.mux(stream.encode(scaled))
        file.mux(stream.encode(None))
    scratch.replace(path)
    return path


def main() -> None:
    """Measure all files, and keep the figures."""
    parser = argparse.ArgumentParser(description="What a clip costs.")
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "orch-decode")
    parser.add_argument("--rounds", type=positive, default=15)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("ORCH_CACHE", str(given.work / "cache"))
    ways = [way for way in WAYS if way not in NEEDS or find_spec(NEEDS[way])]
    about = conditions(f"python -m benchmarks.decode --videos FOLDER --rounds {given.rounds}")
    files: dict[str, object] = {}
    for name in SOURCES:
        source = next(given.videos.rglob(name))
        for what, path in copies(source, given.work).items():
            files[f"{name}, {what}"] = found = measured(path, ways, given.rounds)
            print(f"{name}, {what}: {json.dumps(found)}", flush=True)
    keep("decode", {**about, "rounds": given.rounds, "files": files})


if __name__ == "__main__":
    main()
