"""Independent: the pictures counted by hand, with the draws that a hook has seen."""

import json
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
import torch

from models.networks.base import AnyBitNetwork
from models.precision import Assignment
from orchestrator.data.loader import eval_batches
from orchestrator.job.evaluate import RANDOM
from orchestrator.job.schema import Job
from orchestrator.track.delta_b import ReferenceResults
from orchestrator.track.result import PointResult, Result
from orchestrator.train.random_precision import random_precision
from orchestrator.train.ranks import Ranks
from orchestrator.train.setup import Parts, build_parts
from orchestrator.train.worker import Worker
from tests.orchestrator.train.thread_ranks import Meeting

PASSES = 2


@pytest.fixture
def job(tiny_job: Callable[..., Job]) -> Job:
    random = f"evaluate.random={{passes: {PASSES}, precisions: [8, 2]}}"
    return tiny_job(random, "cluster.max_batch_per_worker=4", "seed=5")


def evaluated(job: Job, parts: Parts, ranks: Ranks) -> tuple[PointResult, list[Assignment]]:
    """The row of a copy of the network, and how that was run, batch by batch."""
    seen: list[Assignment] = []
    network = deepcopy(parts.network)
    network.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    assert job.evaluate.random is not None
    return random_precision(network, job, job.evaluate.random, parts, ranks), seen


def right(network: AnyBitNetwork, parts: Parts, draws: list[Assignment]) -> float:
    """Return the share of pictures that are recognized, in percent."""
    network.eval()
    batches = list(eval_batches(parts.val_set, batch=4, rank=0, world=1))
    with torch.no_grad():
        hits = [
            (network(item.inputs, draw).argmax(dim=1) == item.labels).sum()
            for item, draw in zip(batches, draws, strict=True)
        ]
    return 100 * int(sum(hits)) / len(parts.val_set)


def test_each_batch_and_pass_has_a_draw_of_its_own_and_the_row_is_their_mean(job: Job) -> None:
    parts = build_parts(job, Ranks())
    row, seen = evaluated(job, parts, Ranks())
    passes = [seen[number::PASSES] for number in range(PASSES)]
    assert len(set(seen)) == len(seen) == 3 * PASSES
    assert {own.weights for draw in seen for own in draw.layers} == {8, 2}
    found = [right(parts.network, parts, draws) for draws in passes]
    assert row.point == RANDOM
    assert row.metric == pytest.approx(mean(found))
    assert row.spread == pytest.approx(stdev(found))
    again, drawn_again = evaluated(job, parts, Ranks())
    assert (again, drawn_again) == (row, seen)
    other = job.model_copy(update={"seed": 6})
    assert seen != evaluated(other, parts, Ranks())[1]


def test_ranks_draw_the_same_for_their_batches_of_one_number(job: Job) -> None:
    parts, meeting = build_parts(job, Ranks()), Meeting(2)
    calls = [partial(evaluated, job, parts, ranks) for ranks in meeting.ranks()]
    (one, first), (other, second) = meeting.run(calls)
    assert one == other
    assert len(second) == PASSES
    assert first[: len(second)] == second


def test_the_row_is_one_of_the_end_of_a_run_and_not_of_delta_b(
    tiny_job: Callable[..., Job], run: Callable[..., Worker], tmp_path: Path
) -> None:
    job = tiny_job("training.epochs=1", "quantizer.bit_widths=[8, 2]", "evaluate.random={}")
    reports = run(job).recorder.reports  # type: ignore[union-attr]
    end: dict[str, Any] = json.loads((tmp_path / "run" / "result.json").read_text())
    assert [row["point"] for row in end["rows"]] == ["8bit", "2bit", RANDOM]
    assert {f"top1/{RANDOM}", f"validation/spread/{RANDOM}"} <= reports[-1].keys()
    assert f"| {RANDOM} | {end['rows'][2]['metric']:.2f} ± " in end["table"]
    rows = tuple(PointResult(**row) for row in end["rows"])
    reference = ReferenceResults("mine", "top1", {"8bit": 50.0, "2bit": 50.0})
    result = Result("top1", 0, 3, rows).beside(reference)
    assert result.delta_b == pytest.approx(mean(row.metric for row in rows[:2]) * 2)
