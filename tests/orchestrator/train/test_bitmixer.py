"""Bit-Mixer's stages as phases of a run and as runs one after another, and what its teacher is."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from models.mixed import MIXED
from orchestrator.errors import CheckpointMismatch
from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_method, build_network
from orchestrator.prepare.teacher import (
    KEY,
    give_teacher,
    has_own_teacher,
    missing_teacher,
    named_teachers,
)
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.worker import Worker
from tests.orchestrator.train.rank_programs import run_ranks, train_some_steps

GoOn = Callable[..., Worker]
LSQ = (
    "model={name: resnet18_cifar, widths: [4], depths: [1]}",
    "quantizer.weights={name: lsq_floor}",
)
FLOAT = (*LSQ[:1], "method={name: float}", "training.epochs=1")


def stage(number: int, bit_widths: str, *overrides: str, **settings: object) -> tuple[str, ...]:
    method = {"name": "bitmixer", "stage": number} | settings
    written = yaml.safe_dump(method, default_flow_style=True).strip()
    return *LSQ, f"method={written}", f"quantizer.bit_widths={bit_widths}", *overrides


THREE = (
    "phases=[{quantizer: {bit_widths: [w32a4, w32a2]}, method: {stage: 1}},"
    "{quantizer: {bit_widths: [4, w1a2]}, method: {stage: 2, teacher: float}},"
    "{quantizer: {bit_widths: [4, w1a2]}, method: {stage: 3, k: 1}, training: {epochs: 2}}]"
)


def weights(worker: Worker) -> dict[str, Tensor]:
    folder = worker.context.latest()
    assert folder is not None
    return load_file(folder / "model.safetensors")


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


near = partial(torch.testing.assert_close, rtol=1e-6, atol=1e-7)


@pytest.fixture
def finished(run: GoOn, tmp_path: Path) -> Callable[[Job, str], Path]:
    """Train a job to its end; return its folder, arranged as on a cluster."""

    def train(job: Job, name: str) -> Path:
        run(job, name)
        folder = tmp_path / name
        for number, kept in enumerate(sorted(folder.glob("checkpoint-*")), start=1):
            kept.rename(folder / f"checkpoint_p01_e{number:04d}_s000000")
        (folder / "job.yaml").write_text(yaml.safe_dump(job.as_dict()))
        return folder

    return train


def test_three_phases_that_are_stopped_after_every_step_end_with_the_same_weights(
    tiny_job: Callable[..., Job],
    run: GoOn,
    finished: Callable[[Job, str], Path],
    tmp_path: Path,
) -> None:
    teacher = finished(tiny_job(*FLOAT), "taught")
    own = stage(1, "[w32a4, w32a2]", "training.epochs=1", teacher_weights=str(teacher))
    job = tiny_job(*own, THREE)
    undisturbed = run(job, "undisturbed")
    losses = [set(report) for report in undisturbed.recorder.reports]  # type: ignore[union-attr]
    assert f"train_loss/{MIXED}" in losses[-1] - losses[1]
    folder = RunFolder(tmp_path / "stopped")
    folder.make()
    folder.ask_to_stop()
    for _ in range(11):
        stopped = run(job, "stopped")
    (tmp_path / "taught").rename(tmp_path / "away")
    assert (stopped.at.phase, stopped.at.step) == (2, 2)
    assert stopped.phase.method.state_dict() == {}
    folder.withdraw_stop()
    assert same(weights(undisturbed), weights(run(job, "stopped")))


OWN = (
    "phases=[{quantizer: {bit_widths: [w32a4, w32a2]}, method: {stage: 1}},"
    "{quantizer: {bit_widths: [4, w1a2]}, method: {stage: 2, teacher: stage1}},"
    "{quantizer: {bit_widths: [4, w1a2]}, method: {stage: 3, teacher: stage1}}]"
)


def test_the_first_phase_of_a_job_teaches_those_after_it(
    tiny_job: Callable[..., Job], run: GoOn, tmp_path: Path
) -> None:
    """As it was after the last step of stage 1, also where the run is stopped after every step."""
    job = tiny_job(*stage(1, "[w32a4, w32a2]", "training.epochs=1"), OWN)
    undisturbed = run(job, "undisturbed")
    folder = RunFolder(tmp_path / "stopped")
    folder.make()
    folder.ask_to_stop()
    stopped = [run(job, "stopped") for _ in range(3)][-1]
    assert (stopped.at.phase, stopped.at.step) == (0, 3)
    first = weights(stopped)
    for _ in range(4):
        stopped = run(job, "stopped")
    assert stopped.at.phase == 2
    folder.withdraw_stop()
    assert same(weights(undisturbed), weights(run(job, "stopped")))
    for worker in (undisturbed, stopped):
        taught = worker.phase.method.state_dict()
        assert len(taught) > 10
        for name, value in taught.items():
            if "normalize" not in name:
                assert torch.equal(value, first[name.removeprefix("teacher.")]), name


@pytest.mark.parametrize(
    ("phases", "own"),
    [
        (OWN, [False, True, True]),
        (OWN.replace("stage: 2, teacher: stage1", "stage: 2"), [False, False, False]),
        (OWN.replace("w32a4", "w32a3"), [False, False, False]),
        (OWN.replace("stage1", "float"), [False, False, False]),
        (OWN.replace("teacher: stage1", "teacher: stage1, teacher_weights: x"), [False] * 3),
    ],
)
def test_only_a_network_that_is_still_there_teaches_without_a_name(
    tiny_job: Callable[..., Job], phases: str, own: list[bool]
) -> None:
    jobs = tiny_job(*stage(1, "[w32a4, w32a2]", "training.epochs=1"), phases).phase_jobs()
    assert [has_own_teacher(jobs, number) for number in range(3)] == own
    assert [job for job, _ in named_teachers(jobs)] == [
        job for job, alone in zip(jobs, own, strict=True) if not alone
    ]


def test_a_teacher_goes_on_from_the_checkpoint(
    tiny_job: Callable[..., Job], run: GoOn, finished: Callable[[Job, str], Path], tmp_path: Path
) -> None:
    first = finished(tiny_job(*stage(1, "[w32a4, w32a2]", "training.epochs=1")), "first")
    own = stage(2, "[4, 2]", "training.epochs=1", teacher="stage1", teacher_weights=str(first))
    job = tiny_job(*own, "start.from=checkpoint", f"start.weights={first}")
    undisturbed = run(job, "undisturbed")
    RunFolder(tmp_path / "stopped").make()
    RunFolder(tmp_path / "stopped").ask_to_stop()
    run(job, "stopped")
    RunFolder(tmp_path / "stopped").withdraw_stop()
    first.rename(tmp_path / "away")
    resumed = run(job, "stopped")
    assert same(weights(undisturbed), weights(resumed))
    taught = resumed.phase.method.state_dict()
    trained = load_file(sorted((tmp_path / "away").glob("checkpoint_*"))[-1] / "model.safetensors")
    assert taught
    assert all(
        torch.equal(value, trained[name.removeprefix("teacher.")])
        for name, value in taught.items()
        if "normalize" not in name
    )


def test_each_stage_can_be_a_job_that_starts_from_the_one_before(
    tiny_job: Callable[..., Job], finished: Callable[[Job, str], Path], tmp_path: Path
) -> None:
    folder = finished(tiny_job(*stage(1, "[w32a4, w32a2]", "training.epochs=2")), "one")
    for number in (2, 3):
        own = stage(number, "[4, w1a2]", "training.epochs=2", "optimizer.lr=1.0e-12")
        before = folder
        start = ("start.from=checkpoint", f"start.weights={before}")
        folder = finished(tiny_job(*own, *start), str(number))
        then, now = (
            load_file(sorted(one.glob("checkpoint_*"))[-1] / "model.safetensors")
            for one in (before, folder)
        )
        names = [name for name in now if "4bit_to_4bit" in name and name.endswith("weight")]
        old = "w32a4_to_w32a4" if number == 2 else "4bit_to_4bit"
        assert names
        for name in names:
            near(now[name], then[name.replace("4bit_to_4bit", old)])
            assert (now[name] - 1).abs().max() > 1e-4
    unequal = [name for name in now if "4bit_to_w1a2" in name and name.endswith("weight")]
    assert all(torch.equal(now[n], now[n.replace("4bit_to_w1a2", "w1a2_to_w1a2")]) for n in unequal)


def test_a_teacher_that_is_not_there_or_was_not_trained_is_said(
    tiny_job: Callable[..., Job], finished: Callable[[Job, str], Path]
) -> None:
    def taught_by(weights: str) -> Job:
        own = stage(
            2, "[4, 2]", teacher="stage1", **({"teacher_weights": weights} if weights else {})
        )
        return tiny_job(*own)

    assert missing_teacher(build_method(taught_by(""))).startswith(f"{KEY}: the method wants")
    assert "no run called" in missing_teacher(build_method(taught_by("nowhere")))
    assert missing_teacher(build_method(tiny_job())) == ""
    other = finished(tiny_job(*stage(1, "[w32a8, w32a2]", "training.epochs=1")), "other")
    job = taught_by(str(other))
    with pytest.raises(CheckpointMismatch, match=r"^method.teacher_weights: a teacher must be"):
        give_teacher(build_method(job), job, 3, trained=True)


@pytest.mark.parametrize("world", [2])
def test_two_ranks_draw_the_same_and_learn_what_one_learns(
    tiny_job: Callable[..., Job], tmp_path: Path, world: int
) -> None:
    phases = "phases=[{}, {method: {stage: 3, k: 1}}]"
    job = tiny_job(*stage(2, "[4, 2]", phases), "cluster.max_batch_per_worker=4")
    values: dict[str, Any] = job.phase_jobs()[1].as_dict()
    program = partial(train_some_steps, values=values, steps=1, norm_in_evaluation_mode=True)
    (alone,) = run_ranks(1, tmp_path / "one", program)
    together: Sequence[Any] = run_ranks(world, tmp_path / "two", program)
    for one in together:
        for name, value in alone["parameters"].items():
            torch.testing.assert_close(one["parameters"][name], value, rtol=1e-4, atol=1e-5)
        unused = {name for name, value in alone["gradients"].items() if value is None}
        assert unused == {name for name, value in one["gradients"].items() if value is None}
        assert any("4bit_to_2bit" in name for name in unused)


def test_a_step_learns_from_one_loss_so_its_learning_rate_is_not_divided(
    tiny_job: Callable[..., Job], run: GoOn
) -> None:
    job = tiny_job(*stage(2, "[4, 2]"), "training.epochs=1", "optimizer.lr=0.01")
    groups = run(job, "drawn").phase.optimizer.param_groups
    assert {group["base_lr"] for group in groups if group["name"] != "clip"} == {0.01}


def test_a_phase_of_float_weights_does_not_widen_the_codes_of_the_others(
    tiny_job: Callable[..., Job],
) -> None:
    job = tiny_job(*stage(2, "[4, w1a2]", "quantizer.weights={name: double_rounding}", THREE))
    network = build_network(job, num_classes=3)
    assert {layer.quantizer.code_bits for layer in network.convolutions()} == {4}
