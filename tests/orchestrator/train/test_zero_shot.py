"""Independent: the state of the nearest bit-width by name, statistics and logits by hand."""

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.networks.base import AnyBitNetwork
from models.precision import OperatingPoint
from orchestrator.data.loader import train_batches
from orchestrator.job.evaluate import Evaluate
from orchestrator.job.schema import Job
from orchestrator.plan.batch import BatchPlan, plan_batch
from orchestrator.prepare.build import build_network
from orchestrator.store.run_folder import RunFolder
from orchestrator.track.delta_b import ReferenceResults
from orchestrator.track.result import PointResult
from orchestrator.train.ranks import Ranks
from orchestrator.train.setup import Parts, build_parts
from orchestrator.train.state import load_weights
from orchestrator.train.worker import Run, Worker
from orchestrator.train.zero_shot import _copy_at, zero_shot
from tests.models.representatives import TRAINING
from tests.orchestrator.train.thread_ranks import Meeting


@pytest.fixture
def job(tiny_job: Callable[..., Job]) -> Job:
    evaluate = "evaluate={points: [5, 3], calibration_batches: 2}"
    return tiny_job(evaluate, "cluster.max_batch_per_worker=4", "model.dropout=0.5", "seed=3")


@pytest.fixture
def parts(job: Job) -> Parts:
    """The job's parts, with a network whose bit-widths all differ."""
    parts = build_parts(job, Ranks())
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in parts.network.parameters():
            parameter *= 1 + torch.rand(parameter.shape, generator=generator)
        for point in job.points:
            parts.network(torch.rand(8, 3, 16, 16, generator=generator), point)
    return parts


def plan_of(job: Job, world: int = 1) -> BatchPlan:
    return plan_batch(job.training.global_batch, world, job.cluster.max_batch_per_worker)


def at_nearest(job: Job, parts: Parts, bits: int) -> AnyBitNetwork:
    """Return a network built with one bit-width more, with the tensors of the nearest one."""
    wider = job.model_copy(
        update={"quantizer": job.quantizer.model_copy(update={"bit_widths": (8, 6, 5, 4, 3, 2)})}
    )
    network = build_network(wider, parts.train_set.num_classes)
    trained = parts.network.state_dict()
    for name, value in network.state_dict().items():
        source = re.sub(r"\.5(?=bit|\.|$)", ".6", re.sub(r"\.3(?=bit|\.|$)", ".4", name))
        value.copy_(trained[source])
    return network.eval()


def passes(job: Job, parts: Parts) -> list[Tensor]:
    """Return the passes of two global batches of the epoch after the last, on one rank."""
    steps = train_batches(parts.train_set, plan_of(job), rank=0, seed=3, epoch=job.training.epochs)
    found = [batch.inputs for batches in steps for batch in batches]
    return found[:4]


def by_hand(job: Job, parts: Parts, bits: int) -> tuple[float, float]:
    """Return metric and loss at a bit-width after the statistics were computed pass by pass."""
    network, point = at_nearest(job, parts, bits), OperatingPoint.at(bits)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    sums: dict[nn.BatchNorm2d, list[Tensor]] = {}
    for norm in norms:
        norm.register_forward_hook(
            lambda norm, given, _: sums.setdefault(norm, []).append(given[0])
        )
        norm.train()
    for inputs in passes(job, parts):
        network(inputs, point)
    for norm in norms:
        norm.eval()
    for norm, inputs in sums.items():
        columns = [x.detach().transpose(0, 1).flatten(1) for x in inputs]
        norm.running_mean = torch.stack([x.mean(dim=1) for x in columns]).mean(dim=0)
        norm.running_var = torch.stack([x.var(dim=1) for x in columns]).mean(dim=0)
    data = parts.val_set
    pixels = torch.stack([data.load(index, None) for index in range(len(data))])
    logits = network(pixels, point).detach()
    labels = torch.tensor([data.label(index) for index in range(len(data))])
    right = (logits.argmax(dim=1) == labels).double().mean().item()
    loss = -logits.log_softmax(dim=1)[torch.arange(len(labels)), labels].mean().item()
    return 100 * right, loss


def test_each_point_is_evaluated_with_statistics_of_training_batches(
    job: Job, parts: Parts
) -> None:
    rows = zero_shot(parts.network, job, parts, plan_of(job), Ranks())
    assert [(row.point, row.calibrated) for row in rows] == [
        ("5bit", "zero-shot"),
        ("3bit", "zero-shot"),
    ]
    for row, bits in zip(rows, (5, 3), strict=True):
        metric, loss = by_hand(job, parts, bits)
        assert row.metric == pytest.approx(metric)
        assert row.loss == pytest.approx(loss, rel=1e-4)
    assert rows[0].loss != rows[1].loss


def test_a_point_does_not_depend_on_which_others_are_evaluated(job: Job, parts: Parts) -> None:
    both = zero_shot(parts.network, job, parts, plan_of(job), Ranks())
    alone = job.model_copy(update={"evaluate": job.evaluate.model_copy(update={"points": (3,)})})
    assert zero_shot(parts.network, alone, parts, plan_of(job), Ranks()) == both[1:]


def test_the_trained_network_and_the_generators_stay_as_they_are(job: Job, parts: Parts) -> None:
    before = {name: value.clone() for name, value in parts.network.state_dict().items()}
    random, training = torch.get_rng_state(), parts.network.training
    zero_shot(parts.network, job, parts, plan_of(job), Ranks())
    after = parts.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert parts.network.training == training
    assert torch.equal(torch.get_rng_state(), random)
    assert [own.weights for own in parts.network.precisions] == [8, 6, 4, 2]


def test_two_ranks_see_the_same_passes_as_one_and_agree(job: Job, parts: Parts) -> None:
    alone = zero_shot(parts.network, job, parts, plan_of(job), Ranks())
    meeting = Meeting(2)
    shared = plan_of(job, world=2)
    assert shared.micro_batch == plan_of(job).micro_batch
    programs: list[Any] = [
        partial(zero_shot, parts.network, job, parts, shared, rank) for rank in meeting.ranks()
    ]
    first, second = meeting.run(programs)
    assert first == second
    for row, other in zip(first, alone, strict=True):
        assert row.metric == other.metric
        assert row.loss == pytest.approx(other.loss, rel=1e-5)


def test_more_batches_than_an_epoch_has_are_an_epoch(job: Job, parts: Parts) -> None:
    def rows(count: int) -> list[PointResult]:
        evaluate = job.evaluate.model_copy(update={"calibration_batches": count})
        longer = job.model_copy(update={"evaluate": evaluate})
        return zero_shot(parts.network, longer, parts, plan_of(job), Ranks())

    assert rows(3) == rows(200) != rows(2)


@pytest.fixture
def run(tmp_path: Path, folder_context: Any) -> Callable[..., Path]:
    """Run a job in a folder, recorded in MLflow's form; return the folder."""

    def go(job: Job, name: str = "run", reference: ReferenceResults | None = None) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        Worker(job, Run(RunFolder(folder), reference=reference), folder_context(folder)).run()
        return folder

    return go


def result_in(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return {key: value for key, value in result.items() if key != "run_dir"}


ALL = ["8bit", "6bit", "4bit", "2bit", "5bit", "3bit"]


def test_a_run_ends_with_the_points_that_were_not_trained_below_those_that_were(
    job: Job, run: Callable[..., Path]
) -> None:
    reference = ReferenceResults("somewhere", "top1", dict.fromkeys(ALL, 50.0))
    result = result_in(run(job, reference=reference))
    plain = job.model_copy(update={"evaluate": Evaluate()})
    trained = result_in(run(plain, "trained", reference))
    assert [row["point"] for row in result["rows"]] == ALL
    assert [row["calibrated"] for row in result["rows"]] == [None] * 4 + ["zero-shot"] * 2
    assert result["rows"][:4] == trained["rows"]
    assert result["rows"][5]["ratio"] == 2 * result["rows"][5]["metric"]
    assert result["delta_b"] == trained["delta_b"]
    assert "\n| 3bit (zero-shot) | " in result["table"]
    assert "not trained at this bit-width" in result["table"]
    assert "zero-shot" not in trained["table"].lower()


@pytest.mark.parametrize("method", sorted({*TRAINING} - {"float"}))
def test_a_network_of_every_method_is_evaluated_below_its_highest_bit_width(
    tiny_job: Callable[..., Job], run: Callable[..., Path], method: str
) -> None:
    trained = "[8]" if method == "individual" else "[8, 4]"
    first = ", stage: 2" if method == "bitmixer" else ""
    job = tiny_job(
        f"method={{name: {method}{first}}}",
        f"quantizer.bit_widths={trained}",
        "evaluate.points=[3, w5a8]",
        "training={epochs: 1, global_batch: 24}",
        "cluster.max_batch_per_worker=24",
    )
    rows = result_in(run(job))["rows"]
    assert [row["point"] for row in rows[-2:]] == ["3bit", "w5a8"]
    losses = [row["loss"] for row in rows]
    assert len(set(losses)) == len(losses)


def test_a_point_of_an_earlier_phase_is_calibrated_with_its_own_batch_norm_and_clip_levels(
    tiny_job: Callable[..., Job], run: Callable[..., Path]
) -> None:
    job = tiny_job(
        "phases=[{quantizer: {bit_widths: [8, 4]}}, {quantizer: {bit_widths: [6, 2]}}]",
        "training.epochs=1",
        "evaluate={points: [4, 3], calibration_batches: 1000}",
    )
    result = result_in(run(job))
    marks = [(row["point"], row["calibrated"]) for row in result["rows"]]
    assert marks[2:] == [("4bit", "earlier phase"), ("3bit", "zero-shot")]
    assert "| 4bit (earlier phase) | " in result["table"]
    assert "Earlier phase: trained at this bit-width before the last phase" in result["table"]


def test_points_of_earlier_phases_keep_their_own_state_and_are_no_source_of_others(
    tiny_job: Callable[..., Job],
) -> None:
    job = tiny_job(
        "phases=[{quantizer: {bit_widths: [8, 4]}}, {quantizer: {bit_widths: [6, 2]}}]",
        "evaluate.points=[4, 7]",
    )
    network = build_parts(job, Ranks()).network
    with torch.no_grad():
        for name, levels in network.clip_levels().items():
            for level in levels:
                level.fill_(int(name[0]))
    copies = [_copy_at(OperatingPoint.at(bits), network, job) for bits in (4, 7)]
    found = [copies[0].clip_levels()["4bit"], copies[1].clip_levels()["7bit"]]
    assert [{level.item() for level in levels} for levels in found] == [{4.0}, {6.0}]


def test_a_precision_that_an_assignment_gives_one_layer_can_be_that_of_a_whole_network(
    tiny_job: Callable[..., Job], run: Callable[..., Path]
) -> None:
    job = tiny_job(
        "quantizer.bit_widths=[8, 4]",
        "quantizer.assignment={mix: {default: 8, layer1.0.conv1: 6}}",
        "training.epochs=1",
        "evaluate.points=[6]",
    )
    last = result_in(run(job))["rows"][-1]
    assert (last["point"], last["calibrated"]) == ("6bit", "zero-shot")


@pytest.mark.parametrize("select", ["last", "best"])
def test_a_run_killed_in_its_last_evaluation_ends_with_the_same_table(
    tiny_job: Callable[..., Job],
    run: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    select: str,
) -> None:
    own = ("quantizer.bit_widths=[8, 4]", "evaluate.points=[7, 3]", "model.dropout=0.5")
    job = tiny_job(*own, f"checkpoint.select={select}")
    undisturbed = result_in(run(job, "undisturbed"))

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("orchestrator.train.zero_shot.evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            run(job)
    assert result_in(run(job)) == undisturbed


def test_the_best_epochs_weights_are_judged_where_those_are_chosen(
    tiny_job: Callable[..., Job], run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ("quantizer.bit_widths=[8, 4]", "evaluate.points=[3]")
    job = tiny_job(*own, "checkpoint.select=best")
    monkeypatch.setattr(Worker, "_is_best", lambda self, result: result.epoch == 0)
    folder = run(job)
    chosen = result_in(folder)
    assert chosen["epoch"] == 0
    (best,) = folder.glob("best-epoch-*")
    parts = build_parts(job, Ranks())
    load_weights(best, parts.network)
    (row,) = zero_shot(parts.network, job, parts, plan_of(job), Ranks())
    assert chosen["rows"][-1] == row._asdict()
    last = result_in(run(tiny_job(*own), "last"))
    assert chosen["rows"][-1]["loss"] != last["rows"][-1]["loss"]


@pytest.mark.parametrize("quantizer", ["coquant_trunc", "lsq_floor"])
def test_a_network_with_float_activations_is_evaluated_at_other_weights(
    tiny_job: Callable[..., Job], run: Callable[..., Path], quantizer: str
) -> None:
    job = tiny_job(
        "quantizer.bit_widths=[w4a32, w2a32]",
        f"quantizer.weights={{name: {quantizer}}}",
        "evaluate={points: [w3a32], calibration_batches: 2}",
        "training.epochs=1",
    )
    rows = result_in(run(job))["rows"]
    assert [row["point"] for row in rows] == ["w4a32", "w2a32", "w3a32"]
    assert len({row["loss"] for row in rows}) == 3


class Kept:
    """Keeps what is recorded instead of sending it."""

    def __init__(self) -> None:
        self.rows: list[tuple[tuple[int, int], Mapping[str, float]]] = []

    def log(self, step: int, epoch: int, metrics: Mapping[str, float]) -> None:
        self.rows.append(((step, epoch), metrics))


def test_points_that_were_not_trained_are_recorded_where_the_last_epoch_is(
    job: Job, tmp_path: Path, folder_context: Any
) -> None:
    worker = Worker(job, Run(RunFolder(tmp_path)), folder_context(tmp_path))
    kept = Kept()
    worker.recorder = kept  # type: ignore[assignment]
    worker.run()
    (*_, (last, trained), (place, metrics)) = kept.rows
    rows = result_in(tmp_path)["rows"]
    assert place == last == (6, 2)
    assert metrics == {
        **{f"top1/{row['point']}": row["metric"] for row in rows[4:]},
        **{f"val_loss/{row['point']}": row["loss"] for row in rows[4:]},
    }
    assert trained["top1/2bit"] == rows[3]["metric"]
