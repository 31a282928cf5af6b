"""Which bit-widths a run ends with, and whose batch norm and clip levels they start from."""

import re
from collections.abc import Callable
from itertools import combinations

import pytest
import torch
from safetensors.torch import load_file

from models.precision import OperatingPoint
from orchestrator.job.schema import Job
from orchestrator.track.delta_b import ReferenceResults
from orchestrator.train.ranks import Ranks
from orchestrator.train.setup import build_parts
from orchestrator.train.worker import Worker
from orchestrator.train.zero_shot import _copy_at
from tests.orchestrator.train.results import finished

Run = Callable[..., Worker]
ONE_STEP = ("training.epochs=1", "training.global_batch=24", "cluster.max_batch_per_worker=24")


@pytest.mark.parametrize(
    ("rule", "clip_levels", "norms"),
    [("high", [8, 6, 2], [8, 6, 2]), ("low", [6, 2, 2], [6, 2, 2]), ("mean", [7, 4, 2], [8, 6, 2])],
)
def test_a_point_between_two_trained_ones_starts_as_the_job_says(
    tiny_job: Callable[..., Job], rule: str, clip_levels: list[int], norms: list[int]
) -> None:
    """At 7, 4 and 1 bits, with 8, 6 and 2 trained, whose parameters are all 8, 6 and 2."""
    job = tiny_job(
        "quantizer.bit_widths=[8, 6, 2]",
        "evaluate.points=[7, 4, 1]",
        f"evaluate.zero_shot_source={rule}",
    )
    network = build_parts(job, Ranks()).network
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if found := re.search(r"\.(\d)bit", name):
                tensor.fill_(int(found[1]))
    copies = {bits: _copy_at(OperatingPoint.at(bits), network, job) for bits in (7, 4, 1)}
    own = {bits: dict(copy.named_parameters()) for bits, copy in copies.items()}
    levels = [own[bits][f"layer1.0.act1.clip_levels.{bits}bit"].item() for bits in own]
    assert levels == clip_levels
    assert [own[bits][f"layer1.0.bn1.{bits}bit.weight"][0].item() for bits in own] == norms


@pytest.mark.parametrize("trained", ["[8, 2]", "[8, 4]"])
def test_all_other_bit_widths_are_reached_from_any_two_trained_ones(
    tiny_job: Callable[..., Job], run: Run, trained: str
) -> None:
    """The rows of CoQuant's Table 13."""
    others = [bits for bits in (7, 6, 5, 4, 3, 2) if str(bits) not in trained]
    job = tiny_job(f"quantizer.bit_widths={trained}", f"evaluate.points={others}", *ONE_STEP)
    rows = finished(run(job))["rows"]
    assert [row["point"] for row in rows[2:]] == [f"{bits}bit" for bits in others]
    assert {row["calibrated"] for row in rows[2:]} == {"zero-shot"}
    assert len({row["loss"] for row in rows}) == 7


def test_an_ascending_schedule_ends_with_every_bit_width_at_its_own_state(
    tiny_job: Callable[..., Job], run: Run
) -> None:
    phases = ", ".join(f"{{quantizer: {{bit_widths: [{bits}]}}}}" for bits in (2, 4, 6, 8))
    individual = ("method={name: individual}", f"phases=[{phases}]", "evaluate.points=[6, 4, 2]")
    names = ["8bit", "6bit", "4bit", "2bit"]
    reference = ReferenceResults("somewhere", "top1", dict.fromkeys(names, 50.0))
    worker = run(tiny_job(*individual, *ONE_STEP), reference=reference)
    result = finished(worker)
    assert [row["point"] for row in result["rows"]] == names
    assert [row["calibrated"] for row in result["rows"]] == [None, *3 * ["earlier phase"]]
    assert result["delta_b"] == pytest.approx(sum(2 * row["metric"] for row in result["rows"]) / 4)
    weights = load_file(worker.context.latest() / "model.safetensors")
    for part in ("bn1.{}.weight", "bn1.{}.running_mean", "act1.clip_levels.{}"):
        own = [weights[f"layer1.0.{part.format(name)}"] for name in names]
        assert all(not torch.equal(one, other) for one, other in combinations(own, 2))
