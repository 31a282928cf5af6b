"""Searches that were never made: their standing, for tables and figures."""

import math
import random
from collections.abc import Iterator
from typing import Any

from orchestrator.search.records import (
    Attempt,
    Began,
    Ended,
    How,
    Left,
    Opened,
    Planned,
    Record,
    Reported,
    TrialState,
)
from orchestrator.search.standing import Standing
from orchestrator.search.trial import run_names, trial_name

KEYS = (
    "method.lambda",
    "method.p1",
    "quantizer.activations.clip_init",
    "optimizer.clip.lr",
    "method.teacher_mode",
)
EPOCHS = 9
POINTS = ("8bit", "6bit", "4bit", "2bit")


def searched(trials: int, *, seeds: int = 1, groups: int = 2, metric: str = "delta_b") -> Standing:
    """Return a search that has ended, with failures, stopped trials and a condition.

    Lambda is best at 1e-3 for all points but 2bit, which wants more.
    """
    return Standing.of(_records(trials, seeds, groups, metric))


def _records(trials: int, seeds: int, groups: int, metric: str) -> Iterator[Record]:
    log = ("method.lambda", "optimizer.clip.lr")
    yield Opened(0.0, "lambda", metric, "max", KEYS, log, trials, seeds, "asha", "prior", EPOCHS, 2)
    yield Attempt(0.0, 1)
    events: list[Record] = []
    for number in range(trials):
        events += _trial(number, seeds, 60.0 * EPOCHS * seeds * (number // groups))
    yield from sorted(events, key=lambda record: record.time)


def _trial(number: int, seeds: int, start: float) -> Iterator[Record]:
    chance = random.Random(number)
    name, settings = trial_name(number), _settings(chance)
    runs = run_names(name, seeds)
    yield Planned(start, name, settings, ("prior", "near", "anywhere")[number % 3])
    fails = number % 11 == 4
    last = chance.choice([1, 3, EPOCHS, EPOCHS]) if not fails else chance.choice([0, 2])
    points: dict[str, float] = {}
    values = []
    for place, run in enumerate(runs):
        begin = start + 60.0 * last * place
        yield Began(begin, run, f"group {place}", 2)
        for epoch in range(1, last + 1):
            points = _points(settings, epoch, random.Random(f"{run} {epoch}"))
            value = sum(points.values()) / len(points) * 1.1
            yield Reported(begin + 60.0 * epoch, run, epoch, 100 * epoch, points, value)
        values.append(sum(points.values()) / len(points) * 1.1 if points else 0.0)
        how = How.FAILED if fails else How.FINISHED if last == EPOCHS else How.STOPPED
        yield Left(begin + 60.0 * last, run, how)
    finished = TrialState.FINISHED if last == EPOCHS else TrialState.STOPPED_EARLY
    state = TrialState.FAILED if fails else finished
    value = sum(values) / len(values) if points else None
    spread = max(values) - min(values) if points and seeds > 1 else None
    reason = "The loss is not finite (8bit: nan)." if fails else ""
    end = start + 60.0 * last * seeds
    yield Ended(end, name, state, value, spread, points, value, last, 100 * last, reason)


def _settings(chance: random.Random) -> dict[str, Any]:
    mode = chance.choice(["dynamic", "highest"])
    settings = {
        KEYS[0]: 10 ** chance.uniform(-5, 0),
        KEYS[1]: round(0.3 + 0.05 * chance.randrange(14), 2),
        KEYS[2]: chance.choice([2, 4, 8]),
        KEYS[3]: 10 ** chance.uniform(-3, -0.5),
        KEYS[4]: mode,
    }
    return settings if mode == "dynamic" else {k: v for k, v in settings.items() if k != KEYS[0]}


def _points(settings: dict[str, Any], epoch: int, chance: random.Random) -> dict[str, float]:
    power = math.log10(settings.get(KEYS[0], 1.0))
    clip = {2: -2.0, 4: 0.0, 8: -4.0}[settings[KEYS[2]]]
    grown = 25 * (1 - math.exp(-epoch / 3))
    found = {}
    for number, point in enumerate(POINTS):
        best = -3.0 if point != "2bit" else -1.0
        found[point] = (
            68 + grown - 3 * number - 0.7 * (power - best) ** 2 + clip * number / 3
            + chance.gauss(0, 0.4)
        )  # fmt: skip
    return found
