"""Every side is measured as often, and the peaks of memory are those of known allocations."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity, profile

from benchmarks import comparison, evaluate, plain, sides, step
from benchmarks.breakdown import INTEGER, NORM, _scopes, breakdown, kind_of
from benchmarks.comparison import Seconds, command_line, compared, measure, ratio
from benchmarks.memory import alone, peak_of_pages, peak_of_tensors
from benchmarks.settings import SETTINGS, Setting

# With fewer channels, oneDNN's strided 1x1 convolutions write beyond their memory in the backward
# pass when channels are last (uxlfoundation/oneDNN issue 6035).
TINY = Setting(
    "cifar10_r18.yaml",
    partial(plain.ResNet, plain.BasicBlock, (16, 32), (1, 1), small=True),
    batch=2,
    size=8,
    overrides=("model.widths=[16, 32]", "model.depths=[1, 1]", "quantizer.bit_widths=[8, 2]"),
)
MEGABYTE = 2**20


@pytest.fixture(autouse=True)
def _leave_group() -> Iterator[None]:
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.mark.parametrize("sides", [step.STEPS, step.IN_GROUP, evaluate.EVALUATIONS])
def test_every_side_runs_and_is_measured_as_often(sides: dict[str, step.Build]) -> None:
    seconds = measure({name: build(TINY) for name, build in sides.items()}, 2, warm_up=1)
    assert seconds.keys() == sides.keys()
    assert all(len(own.cpu) == len(own.wall) == 2 for own in seconds.values())
    assert all(min(own.cpu + own.wall) > 0 for own in seconds.values())


def test_a_ratio_is_that_of_medians_and_its_spread_that_within_rounds() -> None:
    assert ratio([2.0, 9.0, 4.0], [1.0, 3.0, 2.0]) == {"of_medians": 2.0, "min": 2.0, "max": 3.0}
    seconds = {"one": Seconds([2.0], [1.0]), "other": Seconds([1.0], [4.0])}
    figures = compared(seconds, "one")
    assert figures["cpu_ratio"] == {"other": {"of_medians": 2.0, "min": 2.0, "max": 2.0}}
    assert figures["wall_seconds"] == {"one": 1.0, "other": 4.0}


def allocate() -> None:
    """At most 48 MB at once."""
    first = torch.ones(16 * MEGABYTE, dtype=torch.uint8)
    second = torch.ones(32 * MEGABYTE, dtype=torch.uint8)
    del first
    third = torch.ones(8 * MEGABYTE, dtype=torch.uint8)
    del second, third


def allocating(setting: Setting) -> comparison.Run:
    return allocate


def test_the_peak_of_tensors_is_what_was_there_at_once() -> None:
    assert peak_of_tensors(allocate) == 48 * MEGABYTE


def test_the_peak_of_pages_is_that_of_the_tensors_and_little_more() -> None:
    found = alone(peak_of_pages, allocating, TINY, 1)
    assert 47 * MEGABYTE < found < 64 * MEGABYTE


@pytest.mark.parametrize("arithmetic", ["float", "auto"])
def test_a_breakdown_adds_up_to_the_whole(arithmetic: str) -> None:
    setting = replace(TINY, arithmetic=arithmetic)
    shares = breakdown(step.STEPS["coquant"](setting), steps=1)
    assert sum(shares.values()) == pytest.approx(100, abs=0.5)
    in_integers = setting.described()["arithmetic"] == "integer"
    assert {kind for kind, share in shares.items() if not share} == (
        set() if in_integers else {INTEGER}
    )


def test_what_is_made_again_on_the_way_back_is_no_batch_norm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("models.layers.normalized.LARGE_OUTPUT", 0)
    run = step.STEPS["coquant"](TINY)
    with _scopes(), profile(activities=[ProfilerActivity.CPU]) as profiled:
        run()
    kinds = {kind_of(event) for event in profiled.events() if event.name == "aten::addcmul_"}
    assert NORM not in kinds


def test_steps_go_on_after_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sides, "STEPS_PER_EPOCH", 1)
    run = step.STEPS["coquant"](TINY)
    run()
    run()


def test_a_command_measures_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--setting", "imagenet", "--arithmetic", "float", "--rounds", "3", "--threads", "1"]
    monkeypatch.setattr("sys.argv", ["step.py", *words])
    given = command_line("step")
    assert given.command == f"python -m benchmarks.step {' '.join(words)}"
    assert given.name == "step_imagenet_float"
    assert given.setting == replace(SETTINGS["imagenet"], arithmetic="float")
