"""Measure several things in turn in one run, and keep how one of them compares to the others."""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch

from benchmarks.results_file import positive
from benchmarks.settings import SETTINGS, Setting

Run = Callable[[], object]
Build = Callable[[Setting], Run]


@dataclass
class Seconds:
    """What something took in each round: of this process on all its threads, and on the wall."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Given:
    """What was asked for. name: of the result file. command: what measures the same again."""

    setting: Setting
    rounds: int
    threads: int
    profile: bool
    name: str
    command: str


def command_line(module: str) -> Given:
    """Parse the options that all comparisons have, and set the number of threads."""
    parser = argparse.ArgumentParser(f"python -m benchmarks.{module}")
    parser.add_argument("--setting", default="cifar_w64", choices=SETTINGS)
    parser.add_argument("--arithmetic", default="auto", choices=["auto", "integer", "float"])
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=positive, default=7)
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--profile", action="store_true", help="print where the time goes instead")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    own = {"arithmetic": given.arithmetic, "precision": given.precision}
    changed = {name: value for name, value in own.items() if value != parser.get_default(name)}
    counts = {"rounds": given.rounds, "threads": given.threads}
    options = {"setting": given.setting, **changed, **counts}
    return Given(
        setting=replace(SETTINGS[given.setting], **changed),
        **counts,
        profile=given.profile,
        name="_".join([module, given.setting, *changed.values()]),
        command=" ".join([parser.prog, *(f"--{name} {value}" for name, value in options.items())]),
    )


def measure(runs: Mapping[str, Run], rounds: int, *, warm_up: int = 2) -> dict[str, Seconds]:
    """Run each once a round, one after another, so that whatever slows the machine slows all.

    warm_up: rounds before that do not count.
    """
    seconds = {name: Seconds() for name in runs}
    for round_ in range(warm_up + rounds):
        for name, run in runs.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if round_ >= warm_up:
                seconds[name].cpu.append(time.process_time() - cpu)
                seconds[name].wall.append(time.perf_counter() - wall)
    return seconds


def compared(seconds: Mapping[str, Seconds], name: str) -> dict[str, object]:
    """Return the median seconds of each, and what one takes over each of the others."""
    own, others = seconds[name], {n: one for n, one in seconds.items() if n != name}
    return {
        "cpu_seconds": {n: _median(one.cpu) for n, one in seconds.items()},
        "cpu_ratio": {n: ratio(own.cpu, one.cpu) for n, one in others.items()},
        "wall_seconds": {n: _median(one.wall) for n, one in seconds.items()},
        "wall_ratio": {n: ratio(own.wall, one.wall) for n, one in others.items()},
    }


def ratio(times: list[float], base: list[float]) -> dict[str, float]:
    """Return the ratio of the medians, and the smallest and the largest within a round."""
    each = [one / other for one, other in zip(times, base, strict=True)]
    found = {"of_medians": _median(times) / _median(base), "min": min(each), "max": max(each)}
    return {name: round(value, 3) for name, value in found.items()}


def _median(times: list[float]) -> float:
    return round(statistics.median(times), 5)
