"""What a step costs under orch beside the same loop under torchrun, and what a checkpoint does.

    python -m benchmarks.overhead [--rounds 3]

The quickstart's job, without its last epochs, in turn under torchrun and through `orch submit` on a
Ray head of its own. Both train the same loop and must end with the same weights. One worker leaves
a processor to Ray; two workers on two processors share them with it.

- "step_ms": the median over the epochs but the first two of each run, by how it was started;
- "ratio": of the medians, and the smallest and largest of a round;
- "processor_ms": of a step, what the processes of each kind compute, in milliseconds of one core:
  the workers, Ray's daemons, the rest of the job (driver, controller, client), all others;
- "checkpoint_ms": how long training waits for a checkpoint in the midst of an epoch, the median;
- "checkpoint_share": of the time of the hundred steps between two of them.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from safetensors.torch import load_file

from benchmarks.processes import KINDS, Meter
from benchmarks.results_file import REPOSITORY, conditions, keep, positive
from orchestrator.job.load import load_job
from orchestrator.job.source import dump
from orchestrator.run_facts import facts_of
from orchestrator.store.lines import Lines
from orchestrator.store.run_folder import WEIGHTS, RunFolder, WholeFile
from orchestrator.track import keys

JOB = REPOSITORY / "jobs" / "quickstart.yaml"
OPTIONS = ("training.epochs=5", "checkpoint.every_steps=10", "data.limit_val=32")
STEPS_BETWEEN = 100


def main() -> None:
    """Measure and keep the figures in benchmarks/results."""
    parser = argparse.ArgumentParser(description="What a step costs under orch.")
    parser.add_argument("--rounds", type=positive, default=3)
    rounds = parser.parse_args().rounds
    about = conditions(f"python -m benchmarks.overhead --rounds {rounds}")
    with TemporaryDirectory() as place:
        found = {
            f"{workers} of 2 processors": compared(Path(place) / str(workers), workers, rounds)
            for workers in (1, 2)
        }
    keep("overhead", {**about, "job": JOB.name, "overrides": OPTIONS, "rounds": rounds, **found})


def compared(place: Path, workers: int, rounds: int) -> dict[str, object]:
    """Return what the job costs with so many workers, under torchrun and under orch."""
    plain, ours, saves = [], [], []
    spent: dict[str, list[dict[str, float]]] = {"torchrun": [], "orch": []}
    for number in range(rounds):
        own = place / str(number)
        with Meter() as meter:
            by_torchrun, by_orch = under_torchrun(own, workers), under_orch(own, workers)
        for name, run in (("torchrun", by_torchrun), ("orch", by_orch)):
            spent[name].append(processor_ms(run, meter))
        if digest(by_torchrun) != digest(by_orch):
            sys.exit("The two runs ended with different weights.")
        plain.append(step_ms(by_torchrun))
        ours.append(step_ms(by_orch))
        saves += by_torchrun.file("saves.json").read_json()
    save, step = 1000 * median(saves), median(map(median, plain))
    return {
        "step_ms": {"torchrun": round(step, 2), "orch": round(median(map(median, ours)), 2)},
        "ratio": ratio(ours, plain),
        "processor_ms": {name: medians(each) for name, each in spent.items()},
        "checkpoint_ms": round(save, 1),
        "checkpoint_share": round(save / (STEPS_BETWEEN * step), 4),
    }


def under_torchrun(place: Path, workers: int) -> RunFolder:
    """Train the job under torchrun; return its folder."""
    folder = RunFolder(place / "torchrun")
    folder.make()
    options = (*OPTIONS, f"cluster.num_workers={workers}")
    folder.job.write(dump(load_job(JOB, options).job.as_dict()))
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={workers}"]
    subprocess.run(
        [*command, "-m", "benchmarks.under_torchrun", str(folder)],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return folder


def under_orch(place: Path, workers: int) -> RunFolder:
    """Train the job through `orch submit`; return its folder."""
    options = (*OPTIONS, f"cluster.num_workers={workers}")
    given = [word for option in options for word in ("--set", option)]
    subprocess.run(
        [
            *(sys.executable, "-m", "orchestrator", "submit", str(JOB), "--follow", *given),
            *("--set", f"output={place / 'runs'}"),
        ],
        cwd=REPOSITORY,
        env=os.environ | {"ORCH_HOME": str(place / "home")},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    [run] = (place / "runs").glob("quickstart-*")
    return RunFolder(run)


def step_ms(run: RunFolder) -> list[float]:
    """Return the milliseconds of a step in each epoch but the first two.

    Ten seconds after their start, workers let the node start spare processes.
    """
    lines = epochs_of(run)
    steps = lines[0]["step"]
    return [1000 * line["metrics"][keys.EPOCH_SECONDS] / steps for line in lines[2:]]


def epochs_of(run: RunFolder) -> list[dict[str, Any]]:
    """Return what a run recorded at the end of each epoch."""
    return [one for one in Lines(run.metrics).read().values if keys.EPOCH_SECONDS in one["metrics"]]


def processor_ms(run: RunFolder, meter: Meter) -> dict[str, float]:
    """Return the milliseconds that each kind of process computed for a step, after two epochs."""
    _, first, *_, last = epochs_of(run)
    gathered = facts_of(run).gathered
    pids = {worker.pid for worker in gathered.workers} if gathered else set()

    def is_worker(pid: int, command: str) -> bool:
        by_torchrun = "benchmarks.under_torchrun" in command and "distributed.run" not in command
        return pid in pids if pids else by_torchrun

    found = meter.between(first["time_ms"] / 1000, last["time_ms"] / 1000, is_worker)
    steps = last["step"] - first["step"]
    return {name: 1000 * seconds / steps for name, seconds in found.items()}


def medians(each: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the median of each kind of process."""
    return {name: round(median(one[name] for one in each), 1) for name in KINDS}


def ratio(ours: Sequence[Sequence[float]], plain: Sequence[Sequence[float]]) -> dict[str, float]:
    """Return the ratio of the medians of all epochs, and the extremes of a round."""
    each = [median(own) / median(other) for own, other in zip(ours, plain, strict=True)]
    whole = median(n for own in ours for n in own) / median(n for own in plain for n in own)
    found = {"of_medians": whole, "min": min(each), "max": max(each)}
    return {name: round(value, 3) for name, value in found.items()}


def digest(run: RunFolder) -> str:
    """Return a digest of a run's last weights."""
    found = sha256()
    with WholeFile(run.checkpoints()[-1], WEIGHTS).here() as file:
        for name, value in sorted(load_file(file).items()):
            found.update(name.encode() + value.numpy().tobytes())
    return found.hexdigest()


if __name__ == "__main__":
    main()
