"""Weights that are still to be trained are judged as they will be once they are there."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from models.methods.base import Method
from models.networks.base import AnyBitNetwork
from orchestrator.errors import CheckpointMismatch, UsageError
from orchestrator.job.schema import Job
from orchestrator.prepare import preflight, promised, teacher
from orchestrator.prepare.build import build_method, build_network
from orchestrator.prepare.start import start
from orchestrator.prepare.teacher import give_teacher
from orchestrator.store.checkpoint import with_manifest
from orchestrator.store.run_folder import WEIGHTS

FLOAT = "method={name: float}"
WIDER = "model.widths=[6, 8]"


def weights_of(job: Job, folder: Path, name: str) -> str:
    """Leave the weights of a job's network in a folder, as if they were trained."""
    folder.mkdir()
    state = build_network(job, 3).state_dict()
    for counter in (value for key, value in state.items() if key.endswith("batches_tracked")):
        counter.fill_(1)
    for file, content in with_manifest({name: save(state)}):
        (folder / file).write_bytes(content)
    return str(folder if name == WEIGHTS else folder / name)


@pytest.mark.parametrize(
    ("source", "own", "kind", "wrong"),
    [
        ([], [], "checkpoint", ""),
        (["quantizer.bit_widths=[8, 2]"], ["quantizer.bit_widths=[4, 2]"], "checkpoint", ""),
        ([], ["method={name: joint}"], "checkpoint", "layout of the network .*batch norm"),
        ([], ["quantizer.weights={name: lsq_floor}"], "checkpoint", "layout of the network"),
        ([WIDER], [], "checkpoint", "another network: .* of another shape"),
        (["model.depths=[1, 2]"], [], "checkpoint", "another network: .* unexpected"),
        ([FLOAT], [], "float", ""),
        ([FLOAT, WIDER], [], "float", r"bn1\.bias"),
    ],
)
def test_a_start_is_refused_when_and_as_the_trained_weights_will_be(
    tiny_job: Callable[..., Job], tmp_path: Path, source: list[str], own: list[str], kind: str,
    wrong: str,
) -> None:  # fmt: skip
    first = tiny_job(*source)
    file = "float.safetensors" if kind == "float" else WEIGHTS
    weights = weights_of(first, tmp_path / "first", file)
    job = tiny_job(*own, f"start={{from: {kind}, weights: {weights}}}")
    if not wrong:
        preflight.check_promised(job, {weights: first})
        start(build_network(job, 3), job)
        return
    with pytest.raises(UsageError, match=rf"^start\.weights: {first.name} will not do: .*{wrong}"):
        preflight.check_promised(job, {weights: first})
    with pytest.raises(CheckpointMismatch, match=wrong):
        start(build_network(job, 3), job)


def test_networks_that_need_numbers_to_be_built_are_not_compared(
    tiny_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(job: Job, num_classes: int) -> AnyBitNetwork:
        assert torch.linspace(1, 0.5, 3).tolist()[0] == 1
        return build_network(job, num_classes)

    monkeypatch.setattr(promised, "build_network", build)
    job = tiny_job(WIDER, "start={from: checkpoint, weights: /runs/first}")
    preflight.check_promised(job, {"/runs/first": tiny_job()})


def test_methods_are_built_with_numbers(
    tiny_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(job: Job) -> Method:
        assert torch.linspace(1, 0.5, 3).tolist()[0] == 1
        return build_method(job)

    monkeypatch.setattr(teacher, "build_method", build)
    preflight.check_promised(tiny_job(), {})


@pytest.mark.parametrize("wrong", [False, True])
def test_so_is_a_teacher(tiny_job: Callable[..., Job], tmp_path: Path, wrong: bool) -> None:
    first = tiny_job(FLOAT, *[WIDER] * wrong)
    weights = weights_of(first, tmp_path / "first", "float.safetensors")
    taught = f"name: bitmixer, stage: 2, teacher: float, teacher_weights: {weights}"
    job = tiny_job(f"method={{{taught}}}")
    if not wrong:
        preflight.check_promised(job, {weights: first})
        give_teacher(build_method(job), job, 3, trained=True)
        return
    with pytest.raises(
        UsageError, match=r"^method\.teacher_weights: .* will not do: .* of another shape"
    ):
        preflight.check_promised(job, {weights: first})
    with pytest.raises(CheckpointMismatch, match=r"^method\.teacher_weights: .* of another shape"):
        give_teacher(build_method(job), job, 3, trained=True)


def test_a_teacher_that_will_not_be_trained_where_it_teaches_is_refused(
    tiny_job: Callable[..., Job],
) -> None:
    taught = "name: bitmixer, stage: 2, teacher: stage1, teacher_weights: /runs/first"
    other = tiny_job("quantizer.bit_widths=[3, 2]")
    with pytest.raises(UsageError, match=r"is not trained at .*, and a teacher must be\."):
        preflight.check_promised(tiny_job(f"method={{{taught}}}"), {"/runs/first": other})


def test_each_corner_of_a_search_is_looked_at(tiny_job: Callable[..., Job]) -> None:
    space = "{model.width: {choice: [1, 2]}, method.p1: {choice: [0.1, 0.2]}}"
    search = f"search={{space: {space}, metric: mean, trials: 2}}"
    job = tiny_job(search, "start={from: checkpoint, weights: /runs/first}")
    with pytest.raises(UsageError, match=r"^corner width=2: start\.weights: ") as caught:
        preflight.check_promised(job, {"/runs/first": tiny_job()})
    assert "width=1" not in str(caught.value)
