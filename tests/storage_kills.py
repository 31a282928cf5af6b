"""Kill a process that writes checkpoints, at random moments: the newest whole one always loads.

    python -m tests.storage_kills DISK_FOLDER_OR_S3_URI --times 50 --seed 0

With AWS_ENDPOINT_URL and so on for a bucket. Prints how many kills came in the middle of a
checkpoint, and fails if what was committed is not there or not whole.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

from orchestrator.store.folder import Folder
from orchestrator.store.run_folder import WEIGHTS, Reached, RunFolder
from orchestrator.train import run_checkpoints

SIZE = 9 << 20
"""Bytes of a checkpoint's weights: more than an upload's single part."""


@dataclass(frozen=True)
class Killed:
    """How kills went: how many there were, and after how many a checkpoint was unfinished."""

    times: int
    unfinished: int


def write_until_killed(place: str) -> None:
    """Go on from the newest checkpoint, one step each, and print the step once it is committed."""
    folder = RunFolder(place)
    folder.make()
    folder.sweep()
    run_checkpoints.latest(folder)
    newest = folder.newest()
    step = newest.step if newest else 0
    while True:
        step += 1
        folder.commit(contents(step), Reached(0, 0, step))
        folder.drop_all_but(2)
        print(step, flush=True)  # noqa: T201


def contents(step: int) -> dict[str, bytes]:
    """Return the files of the checkpoint of a step, which differ from those of all others."""
    return {WEIGHTS: random.Random(step).randbytes(SIZE), "state.pt": str(step).encode()}


def kill(place: str, *, times: int, seed: int) -> Killed:
    """Kill so many writers; after each, the newest checkpoint is whole and none is lost."""
    folder, moments = RunFolder(place), random.Random(seed)
    unfinished = 0
    for number in range(times):
        committed = _kill_one(place, moments)
        unfinished += bool(_unfinished(folder.place))
        newest = run_checkpoints.latest(folder)
        assert newest is not None, number
        at = folder.newest()
        assert at is not None
        assert at.step >= committed, (number, at, committed)
        assert b"".join(newest.chunks("state.pt")).decode() == str(at.step)
    return Killed(times, unfinished)


def _kill_one(place: str, moments: random.Random) -> int:
    """Start a writer and kill it somewhere in its next two; return the last committed."""
    command = [sys.executable, "-m", "tests.storage_kills", place, "--write"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        steps = [int(writer.stdout.readline())]
        began = time.monotonic()
        steps.append(int(writer.stdout.readline()))
        time.sleep(moments.uniform(0, 2 * (time.monotonic() - began)))
        os.kill(writer.pid, signal.SIGKILL)
        steps += [int(line) for line in writer.stdout.read().splitlines()]
    return max(steps)


def _unfinished(place: Folder) -> list[str]:
    """Return what is begun and not whole: hidden folders of a disk, files without a mark in S3."""
    from orchestrator.store.s3 import S3Folder

    if isinstance(place, S3Folder):
        begun = {one.key.split("/")[-2] for one in place.bucket.objects(place.prefix)}
        return sorted(begun - set(place.folders("")))
    return place.folders(".")


def main() -> None:
    """Write until killed, or kill."""
    parser = argparse.ArgumentParser()
    parser.add_argument("place")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.write:
        write_until_killed(given.place)
    print(kill(given.place, times=given.times, seed=given.seed))  # noqa: T201


if __name__ == "__main__":
    main()
