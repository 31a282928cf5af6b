"""Which samples a run has trained on, by the notes that its processes took (`own/seen.py`)."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OWN = Path(__file__).with_name("own")

Samples = dict[tuple[int, int], Counter[str]]
"""The digests of the samples of each step, by epoch and step."""


def settings(notes: Path) -> tuple[str, ...]:
    """Return what lets a job take notes in a folder, which is made."""
    notes.mkdir(parents=True)
    return (f"code={OWN}", "method.name=seen:Seen", f"method.notes={notes}")


def trained_on(notes: Path) -> Samples:
    """Return the samples of each step as it was last taken.

    A step that is taken again after a loss takes the place of the one that was lost.
    """
    taken: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for line in lines(notes):
        taken.setdefault((line["epoch"], line["step"]), []).append(line)
    return {at: _of_last_group(lines) for at, lines in taken.items()}


def _of_last_group(lines: list[dict[str, Any]]) -> Counter[str]:
    """Return the samples of the last group of ranks that took a step."""
    lines.sort(key=lambda line: float(line["time"]))
    world = lines[-1]["world"]
    last = {line["rank"]: line["samples"] for line in lines if line["world"] == world}
    return Counter(sample for rank in range(world) for sample in last.get(rank, ["none"]))


def lines(notes: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines: that of a process that was killed may be cut off."""
    for file in notes.iterdir():
        for line in file.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)


def faults_of(notes: Path, of_twin: Path, epoch_samples: int) -> list[str]:
    """Return how the samples of a run are not those of the undisturbed one, once each.

    notes, of_twin: those of both. epoch_samples: how many different ones an epoch has.
    """
    found, expected = trained_on(notes), trained_on(of_twin)
    wrong = [f"step {at}: other samples" for at in expected if found.get(at) != expected[at]]
    wrong += [f"step {at}: should not be" for at in found.keys() - expected.keys()]
    for epoch in {epoch for epoch, _ in found}:
        steps = (samples for (own, _), samples in found.items() if own == epoch)
        counts = sum(steps, Counter[str]())
        if len(counts) != epoch_samples or set(counts.values()) != {1}:
            wrong.append(f"epoch {epoch + 1}: {len(counts)} samples, some more than once")
    return wrong[:3]
