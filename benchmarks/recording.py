"""What recording costs the training, and what a tracking server in trouble does to it: nothing.

    python -m benchmarks.recording

Steps of 0.1 seconds, which only sleep, with all that rank 0 of a run reports and records between
them, while another process brings it to an MLflow server as the driver of a run does. The server is
well, frozen (SIGSTOP), dead (SIGKILL), or answers 500.
"""

import argparse
import multiprocessing
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import torch
import yaml

from benchmarks.results_file import REPOSITORY, conditions, keep, positive
from orchestrator.job.load import load_job
from orchestrator.run_facts import Events
from orchestrator.store.run_folder import Reached, RunFolder
from orchestrator.track.journal import Journal
from orchestrator.track.sender import Sender
from orchestrator.train.progress import Progress
from orchestrator.train.tally import Tally
from tests.mlflow_server import MlflowServer, serving
from tests.unreliable import Unreliable, on_the_way_to

STEP = 0.1
STEPS = 100
"""Of an epoch, which is short: CIFAR-10 has 391 in batches of 128."""
METRICS = 40
"""Of an epoch: as many as CoQuant records at four bit-widths."""

Trouble = Callable[[MlflowServer, Unreliable], None]

TROUBLES: dict[str, Trouble] = {
    "well": lambda _server, _way: None,
    "answers_500": lambda _server, way: way.become(500),
    "frozen": lambda server, _way: os.killpg(server.pid, signal.SIGSTOP),
    "dead": lambda server, _way: os.killpg(server.pid, signal.SIGKILL),
}
"""What becomes of the server, in this order; nothing comes after its death."""


def main() -> None:
    """Measure, print and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=positive, default=3, help="in each state of the server")
    epochs = parser.parse_args().epochs
    measured = conditions(f"python -m benchmarks.recording --epochs {epochs}")
    with tempfile.TemporaryDirectory(dir=REPOSITORY) as place:
        found, end = _measured(Path(place), epochs)
    keep(
        "recording",
        measured
        | {"step_ms": 1000 * STEP, "steps_per_epoch": STEPS, "metrics_per_epoch": METRICS}
        | {"servers": found, "seconds_of_the_end_without_server": end},
    )


def _measured(place: Path, epochs: int) -> tuple[dict[str, dict[str, object]], float]:
    """Return what recording takes with each server, and how long the driver's end takes."""
    found = {}
    with (
        serving(f"sqlite:///{place / 'mlflow.db'}", place) as server,
        on_the_way_to(server.url) as way,
    ):
        folder = _folder(place / "runs" / "recording-1", way.url)
        here, there = multiprocessing.Pipe()
        driver = multiprocessing.get_context("spawn").Process(target=_drive, args=(folder, there))
        driver.start()
        for number, (name, trouble) in enumerate(TROUBLES.items()):
            trouble(server, way)
            found[name] = _train(folder, number * epochs, epochs)
            way.become("well")
        here.send("the end")
        end: float = here.recv()
        driver.join()
    return found, end


def _folder(path: Path, uri: str) -> RunFolder:
    folder = RunFolder(path)
    folder.make()
    job = load_job(REPOSITORY / "jobs" / "quickstart.yaml", [f"tracking.uri={uri}"]).job
    folder.job.write(yaml.safe_dump(job.as_dict()))
    return folder


def _drive(folder: RunFolder, parent: Connection) -> None:
    """Bring the metrics to the server until the end is told; answer how long the end took."""
    sender = Sender()
    sender.watch(folder)
    parent.recv()
    began = time.monotonic()
    sender.finish()
    parent.send(round(time.monotonic() - began, 2))


def _train(folder: RunFolder, first: int, epochs: int) -> dict[str, object]:
    """Do what rank 0 does beside training; return what it takes of the training's time."""
    progress = Progress(Events(folder), [first + epochs], STEPS)
    journal = Journal(folder)
    tally = Tally([f"{bits}bit" for bits in (8, 6, 4, 2)], torch.device("cpu"))
    metrics = {f"training/metric_{number}": 0.1 * number for number in range(METRICS)}
    reporting, recording = [], []
    for epoch in range(first, first + epochs):
        for step in range(1, STEPS + 1):
            time.sleep(STEP)
            at = Reached(0, epoch, step)
            reporting.append(_seconds(partial(progress.tell, at, tally)))
        recording.append(_seconds(partial(journal.log, (epoch + 1) * STEPS, epoch + 1, metrics)))
    return {
        "journal_ms_per_epoch": _summary(recording),
        "percent_of_steps": {
            "journal": _percent(recording, epochs),
            "progress": _percent(reporting, epochs),
            "both": _percent(recording + reporting, epochs),
        },
        "longest_pause_ms": round(1000 * max(*recording, *reporting), 1),
    }


def _percent(seconds: list[float], epochs: int) -> float:
    """Return the share of the time of all steps, in percent."""
    return round(100 * sum(seconds) / (epochs * STEPS * STEP), 3)


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _summary(seconds: list[float]) -> dict[str, float]:
    return {
        "median": round(1000 * statistics.median(seconds), 2),
        "max": round(1000 * max(seconds), 2),
    }


if __name__ == "__main__":
    main()
