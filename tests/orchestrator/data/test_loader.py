"""The order of an epoch and its share for each rank, on a tiny data set in memory."""

import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from orchestrator.data.ahead import MOST_AHEAD, Loaders
from orchestrator.data.images import BrokenImage
from orchestrator.data.loader import (
    LoadedBatch,
    epoch_order,
    eval_batches,
    steps_per_epoch,
    train_batches,
)
from orchestrator.errors import DataError, UsageError
from orchestrator.plan.batch import plan_batch
from video import BrokenVideo

Kind = Literal["threads", "processes"]


class Numbers:
    """Sample i is an image of one pixel: i, a random number, 0. Label i % 3."""

    sample_shape = (3, 1, 1)

    def __init__(self, count: int, broken: Iterable[int] = ()) -> None:
        self.count = count
        self.broken = set(broken)
        self.loaded: list[int] = []

    def __len__(self) -> int:
        return self.count

    def label(self, index: int) -> int:
        return index % 3

    def source(self, index: int) -> str:
        return f"image {index}"

    def load(self, index: int, generator: np.random.Generator | None) -> Tensor:
        self.loaded.append(index)
        if index in self.broken and index % 2:
            raise BrokenImage(self.source(index), "cut short")
        if index in self.broken:
            raise BrokenVideo(Path(self.source(index)), "cut short")
        drawn = 0 if generator is None else int(generator.integers(256))
        return torch.tensor([index, drawn, 0], dtype=torch.uint8)[:, None, None]


def train(dataset: Numbers, **settings: Any) -> list[list[LoadedBatch]]:
    return [list(step) for step in asked(dataset, **settings)]


def asked(
    dataset: Numbers, *, world: int = 1, micro_batch: int = 2, **settings: Any
) -> Iterator[Iterator[LoadedBatch]]:
    """The steps of 8 samples that a rank is given."""
    chosen = {"seed": 3, "epoch": 1, "rank": 0} | settings
    return train_batches(dataset, plan_batch(8, world, micro_batch), **chosen)


def evaluate(
    dataset: Numbers, *, world: int, loaders: Loaders | None = None
) -> list[list[LoadedBatch]]:
    return [
        list(eval_batches(dataset, batch=4, rank=rank, world=world, loaders=loaders))
        for rank in range(world)
    ]


def whole(batches: Iterable[LoadedBatch], part: Callable[[LoadedBatch], Tensor]) -> Tensor:
    return torch.cat([part(batch) for batch in batches])


def global_steps(dataset: Numbers, world: int, **settings: Any) -> list[Tensor]:
    """The inputs of each step, those of all ranks one after another."""
    ranks = [train(dataset, rank=rank, world=world, **settings) for rank in range(world)]
    return [
        torch.cat([whole(micro, lambda batch: batch.inputs) for micro in step])
        for step in zip(*ranks, strict=True)
    ]


def same(left: Sequence[Tensor], right: Sequence[Tensor]) -> bool:
    return len(left) == len(right) and all(map(torch.equal, left, right))


def test_an_epoch_shows_each_sample_at_most_once_in_whole_global_batches() -> None:
    steps = train(Numbers(30))
    assert [[len(batch.labels) for batch in step] for step in steps] == [[2, 2, 2, 2]] * 3
    indices = torch.cat([whole(step, lambda batch: batch.indices) for step in steps])
    assert len(set(indices.tolist())) == 24
    assert torch.equal(indices, epoch_order(30, seed=3, epoch=1)[:24])


def test_a_batch_holds_the_samples_with_their_labels() -> None:
    for batch in train(Numbers(8))[0]:
        assert batch.inputs.dtype == torch.uint8
        assert batch.labels.dtype == batch.indices.dtype == torch.int64
        assert torch.equal(batch.inputs[:, 0, 0, 0].long(), batch.indices)
        assert torch.equal(batch.labels, batch.indices % 3)
        assert batch.valid.tolist() == [True, True]
        assert batch.broken == []


def test_the_order_is_a_permutation_that_changes_with_epoch_and_seed() -> None:
    orders = [epoch_order(50, seed=s, epoch=e).tolist() for s, e in ((0, 0), (0, 1), (1, 0))]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert orders[0] == epoch_order(50, seed=0, epoch=0).tolist()


@pytest.mark.parametrize("broken", [(), (2, 5, 6, 11)])
def test_a_global_batch_is_the_same_at_any_number_of_ranks(broken: tuple[int, ...]) -> None:
    alone = global_steps(Numbers(30, broken), 1)
    for world in (2, 4):
        assert same(alone, global_steps(Numbers(30, broken), world))


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_loaders_change_nothing(kind: Kind) -> None:
    alone = global_steps(Numbers(30, (4, 9)), 1)
    loaders = Loaders(2, kind, memory=1)
    data = Numbers(30, (4, 9))
    for _ in range(2):
        assert same(alone, global_steps(data, 1, loaders=loaders))


def test_an_epoch_draws_other_random_numbers_than_the_next() -> None:
    drawn = []
    for epoch in (0, 1):
        (step,) = train(Numbers(8), epoch=epoch)
        inputs = whole(step, lambda batch: batch.inputs)[:, :2, 0, 0].tolist()
        drawn.append(dict(inputs))
    assert drawn[0].keys() == drawn[1].keys()
    assert drawn[0] != drawn[1]


def test_a_resumed_epoch_goes_on_where_it_stopped_and_loads_nothing_before() -> None:
    full, rest = Numbers(40, (7, 8)), Numbers(40, (7, 8))
    assert same(global_steps(full, 1)[3:], global_steps(rest, 1, start_step=3))
    assert len(rest.loaded) < len(full.loaded) - 23
    assert global_steps(Numbers(40), 1, start_step=5) == []


def test_loading_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(Numbers(16))
    train(Numbers(16), loaders=Loaders(1))
    evaluate(Numbers(9), world=1)
    assert torch.equal(torch.rand(3), expected)


def test_micro_batches_that_a_step_leaves_over_are_skipped() -> None:
    firsts = [next(step).indices for step in asked(Numbers(24))]
    assert same(firsts, [step[0].indices for step in train(Numbers(24))])


def test_micro_batches_are_loaded_when_they_are_asked_for() -> None:
    dataset = Numbers(24)
    list(islice(next(asked(dataset)), 2))
    assert len(dataset.loaded) == 4


@pytest.mark.parametrize("loaders", [None, Loaders(2)])
def test_a_broken_training_sample_is_replaced_by_the_next_and_named(
    loaders: Loaders | None,
) -> None:
    order = epoch_order(16, seed=3, epoch=1).tolist()
    dataset = Numbers(16, order[2:4])
    (first, *_), *_ = train(dataset, micro_batch=8, loaders=loaders)
    assert first.indices.tolist() == [*order[:2], order[4], order[4], *order[4:8]]
    assert torch.equal(first.labels, first.indices % 3)
    assert first.valid.all()
    named = [f"image {index}" for index in (order[2], order[3], order[3])]
    assert first.broken == [(name, "cut short") for name in named]


def test_the_end_of_the_order_is_replaced_from_its_beginning() -> None:
    order = epoch_order(8, seed=3, epoch=1).tolist()
    (step,) = train(Numbers(8, order[7:]), micro_batch=8)
    assert step[0].indices.tolist() == [*order[:7], order[0]]


@pytest.mark.parametrize("loaders", [None, Loaders(2)])
def test_too_many_broken_samples_in_a_row_end_the_run_with_one_clear_line(
    loaders: Loaders | None,
) -> None:
    order = epoch_order(40, seed=3, epoch=1).tolist()
    assert len(train(Numbers(40, order[10:25]), loaders=loaders)) == 5
    with pytest.raises(DataError) as caught:
        train(Numbers(40, order[10:26]), loaders=loaders)
    message = str(caught.value)
    assert message.startswith("16 samples in a row cannot be loaded")
    assert f"image {order[25]}: cut short" in message
    assert "\n" not in message


@pytest.mark.parametrize("world", [1, 2, 3, 5, 20])
def test_evaluation_sees_each_sample_once_at_any_number_of_ranks(world: int) -> None:
    batches = [batch for rank in evaluate(Numbers(17), world=world) for batch in rank]
    indices = whole(batches, lambda batch: batch.indices).tolist()
    assert sorted(indices) == list(range(17))
    assert all(batch.valid.all() for batch in batches)


def test_evaluation_gives_rank_r_every_sample_from_r_on() -> None:
    first, second = evaluate(Numbers(11), world=2)
    assert [batch.indices.tolist() for batch in first] == [[0, 2, 4, 6], [8, 10]]
    assert [batch.indices.tolist() for batch in second] == [[1, 3, 5, 7], [9]]


@pytest.mark.parametrize("loaders", [None, Loaders(2)])
def test_a_broken_evaluation_sample_is_blank_masked_and_named(
    loaders: Loaders | None,
) -> None:
    ((first, second),) = evaluate(Numbers(8, (1, 4, 5, 6, 7)), world=1, loaders=loaders)
    assert first.indices.tolist() == [0, 1, 2, 3]
    assert first.valid.tolist() == [True, False, True, True]
    assert first.broken == [("image 1", "cut short")]
    assert first.inputs[1].abs().sum() == 0
    assert second.valid.tolist() == [False] * 4
    assert second.inputs.shape == (4, 3, 1, 1)


def test_steps_are_whole_global_batches() -> None:
    assert [steps_per_epoch(count, 8) for count in (8, 15, 16, 100)] == [1, 1, 2, 12]
    with pytest.raises(UsageError, match=r"7 samples, fewer than one global batch of 8: set"):
        steps_per_epoch(7, 8)


def test_batches_are_loaded_ahead_as_far_as_memory_allows() -> None:
    dataset, others = Numbers(32), Numbers(32)
    for data, memory, most in ((dataset, 1, 1), (others, 1 << 20, MOST_AHEAD)):
        steps = asked(data, loaders=Loaders(2, memory=memory))
        next(next(steps))
        limit = time.monotonic() + 10
        while len(data.loaded) < 2 * (1 + most) and time.monotonic() < limit:
            time.sleep(0.01)
        time.sleep(0.05)
        assert len(data.loaded) == 2 * (1 + most)


def test_what_is_no_longer_wanted_is_not_loaded() -> None:
    dataset = Slow(64)
    steps = asked(dataset, loaders=Loaders(1))
    next(next(steps))
    steps.close()
    time.sleep(0.2)
    count = len(dataset.loaded)
    time.sleep(0.2)
    assert len(dataset.loaded) == count < 12


class Slow(Numbers):
    """Takes a moment for each sample; forever for those that hang."""

    def load(self, index: int, generator: np.random.Generator | None) -> Tensor:
        time.sleep(3600 if index in self.broken else 0.02)
        return super().load(index, generator)


def test_storage_that_hangs_ends_the_run_and_not_the_hours() -> None:
    loaders = Loaders(1, "processes", timeout=1)
    began = time.monotonic()
    with pytest.raises(DataError, match=r"not read within 1 seconds.*cluster\.loader_timeout"):
        train(Slow(16, epoch_order(16, seed=3, epoch=1)[5:6].tolist()), loaders=loaders)
    assert 1 < time.monotonic() - began < 60
    assert not any(process.is_alive() for process in multiprocessing.active_children())


def test_a_gpu_gets_pinned_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a machine with a GPU can pin; here it is seen who asks for it."""
    pinned: list[tuple[int, ...]] = []
    empty = torch.empty

    def asked_for(shape: tuple[int, ...], *, dtype: torch.dtype, pin_memory: bool) -> Tensor:
        pinned.extend([shape] if pin_memory else [])
        return empty(shape, dtype=dtype)

    monkeypatch.setattr(torch, "empty", asked_for)
    train(Numbers(8), loaders=Loaders(pin=True))
    train(Numbers(8), loaders=Loaders(1, pin=True))
    train(Numbers(8))
    assert pinned == [(2, 3, 1, 1)] * 8
