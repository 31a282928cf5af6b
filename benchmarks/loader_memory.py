"""Whether memory grows with the number of videos read: an epoch over thousands of them.

    python -m benchmarks.loader_memory --videos FOLDER [--count 5000] [--threads 2]

--videos: a folder of videos, which are copied in turn until there are so many; each copy is a file
of its own, opened once, for a training clip of 8 frames. Told is the process's memory that belongs
to no file, after each hundredth batch.
"""

import argparse
import itertools
import os
import shutil
import tempfile
from pathlib import Path

import torch

from benchmarks.loader import BATCH, batches, dataset_of
from benchmarks.memory import pages
from benchmarks.results_file import conditions, keep, positive
from orchestrator.data.ahead import Loaders
from video.clips import find_videos

EVERY = 100
"""After so many batches memory is looked at."""
WARM_UP = 1000
"""So many videos are read before growth counts."""
MIB = 1 << 20


def copied(videos: Path, folder: Path, count: int) -> None:
    """Write so many files, each a copy of a video."""
    sources = sorted(find_videos(videos).values(), key=str)
    for number, source in zip(range(count), itertools.cycle(sources), strict=False):
        path = Path(str(source))
        shutil.copyfile(path, folder / f"{number:06d}{path.suffix}")


def main() -> None:
    """Read an epoch, and keep the figures."""
    parser = argparse.ArgumentParser(description="Whether memory grows with the videos read.")
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--count", type=positive, default=5000)
    parser.add_argument("--threads", type=positive, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    about = conditions(
        "python -m benchmarks.loader_memory --videos FOLDER "
        f"--count {given.count} --threads {given.threads}"
    )
    seen: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as work:
        os.environ["ORCH_CACHE"] = str(Path(work, "cache"))
        folder = Path(work, "videos")
        folder.mkdir()
        copied(given.videos, folder, given.count)
        dataset = dataset_of(folder, given.count)
        loaded = batches(dataset, Loaders(given.threads, "threads"), epoch=1)
        for number, _ in enumerate(loaded, start=1):
            if number % EVERY == 0:
                seen[number * BATCH] = round(pages("RssAnon") / MIB, 1)
    warm = [value for videos, value in seen.items() if videos >= WARM_UP]
    thousands = (given.count - WARM_UP) / 1000
    keep(
        "loader_memory",
        {
            **about,
            "videos": given.count,
            "MiB_after_videos": seen,
            "growth_in_MiB_per_1000_after_warm_up": round((warm[-1] - warm[0]) / thousands, 2),
            "most_above_warm_up_in_MiB": round(max(warm) - warm[0], 1),
        },
    )


if __name__ == "__main__":
    main()
