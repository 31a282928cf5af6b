"""How fast clips are loaded, by threads and by processes, alone and beside a training.

    python -m benchmarks.loader --videos FOLDER [--rounds 5] [--clips 96]

--videos: a folder of videos, of which each is loaded as a training clip of 8 frames in turn, as
`orch data prepare` makes them or as they come. All ways load the same clips, one round after the
other; ratios are those of the same round, of which the median is kept.

Beside a training: a float ResNet18 TSN takes its steps in this process on one core, and the share
of its time is told that it waits for data.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from benchmarks.results_file import REPOSITORY, conditions, keep, positive
from orchestrator.data.ahead import Kind, Loaders
from orchestrator.data.loader import LoadedBatch, train_batches
from orchestrator.job.load import load_job
from orchestrator.plan.batch import plan_batch
from orchestrator.prepare.build import build_network
from video.clips import Clip, ClipDataset, ClipSettings, find_videos

SEGMENTS, BATCH = 8, 8
NETWORK = ("method={name: float}", "model={name: resnet18, num_segments: 8}", "start.from=scratch")
WAYS: dict[str, tuple[int, Kind]] = {
    "in the training thread": (0, "threads"),
    "1 thread": (1, "threads"),
    "2 threads": (2, "threads"),
    "1 process": (1, "processes"),
    "2 processes": (2, "processes"),
}


class Clips(ClipDataset):
    """Clips with labels of no meaning."""

    metric: ClassVar[Literal["top1"]] = "top1"

    @staticmethod
    def missing(settings: Any) -> list[str]:
        """Return that nothing is missing."""
        return []


def dataset_of(folder: Path, clips: int) -> Clips:
    """Return a training set of so many clips, of the videos of a folder in turn."""
    videos = sorted(find_videos(folder).values(), key=str)
    if not videos:
        raise SystemExit(f"{folder} has no videos.")
    chosen = [Clip(videos[n % len(videos)], found=True, labels=(n % 2,)) for n in range(clips)]
    return Clips(
        ClipSettings(root=folder),
        class_names=["a", "b"],
        clips=chosen,
        train=True,
        num_segments=SEGMENTS,
    )


def batches(dataset: Clips, loaders: Loaders, epoch: int) -> Iterator[LoadedBatch]:
    """Yield the batches of an epoch."""
    plan = plan_batch(BATCH, 1, BATCH)
    steps = train_batches(dataset, plan, rank=0, seed=0, epoch=epoch, loaders=loaders)
    return (batch for step in steps for batch in step)


def clips_per_second(dataset: Clips, loaders: Loaders, epoch: int) -> float:
    """Return how many clips are loaded in a second when nothing else is done."""
    begin = time.monotonic()
    count = sum(len(batch.labels) for batch in batches(dataset, loaders, epoch))
    return count / (time.monotonic() - begin)


def waiting_share(dataset: Clips, loaders: Loaders, epoch: int) -> float:
    """Return the share of a training's time that passes until batches are there."""
    job = load_job(REPOSITORY / "jobs" / "quickstart.yaml", NETWORK).job
    network = build_network(job, dataset.num_classes).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    loaded, waited = batches(dataset, loaders, epoch), 0.0
    next(loaded)  # loaders begin with the first one
    begin = now = time.monotonic()
    for batch in loaded:
        waited += time.monotonic() - now
        optimizer.zero_grad()
        logits = network(network.share(batch.inputs), job.points[0])
        torch.autograd.backward(torch.nn.functional.cross_entropy(logits, batch.labels))
        optimizer.step()
        now = time.monotonic()
    return waited / (time.monotonic() - begin)


def main() -> None:
    """Measure all ways, and keep the figures."""
    parser = argparse.ArgumentParser(description="How fast clips are loaded.")
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--clips", type=positive, default=96)
    given = parser.parse_args()
    os.environ.setdefault("ORCH_CACHE", str(Path(tempfile.gettempdir()) / "orch-loader"))
    torch.set_num_threads(1)
    about = conditions(
        f"python -m benchmarks.loader --videos FOLDER --rounds {given.rounds} --clips {given.clips}"
    )
    dataset = dataset_of(given.videos, given.clips)
    loaders = {name: Loaders(count, kind) for name, (count, kind) in WAYS.items()}
    speeds: dict[str, list[float]] = {name: [] for name in WAYS}
    shares: dict[str, list[float]] = {name: [] for name in WAYS}
    for epoch in range(given.rounds + 1):  # the first loads what is loaded once
        for name, one in loaders.items():
            speed = clips_per_second(dataset, one, epoch)
            share = waiting_share(dataset, one, epoch)
            if epoch:
                speeds[name].append(speed)
                shares[name].append(share)
    keep(
        "loader",
        {
            **about,
            "frames": SEGMENTS,
            "clips_per_second": _medians(speeds),
            "over_1_thread": {
                name: _ratio(found, speeds["1 thread"]) for name, found in speeds.items()
            },
            "waiting_beside_a_training": _medians(shares),
        },
    )


def _medians(found: dict[str, list[float]]) -> dict[str, float]:
    return {name: round(statistics.median(values), 3) for name, values in found.items()}


def _ratio(found: Sequence[float], one: Sequence[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(found, one, strict=True)), 2)


if __name__ == "__main__":
    main()
