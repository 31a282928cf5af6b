"""How often the host waits for a GPU: counted on a device that is none."""

from collections.abc import Callable

import pytest
import torch

from orchestrator.data.loader import LoadedBatch
from orchestrator.job.schema import Job
from orchestrator.train.epoch import train_epoch
from orchestrator.train.evaluate import evaluate
from orchestrator.train.phase import build_phase
from orchestrator.train.ranks import Ranks
from orchestrator.train.setup import build_parts
from orchestrator.train.tally import Tally
from tests.far_device import FAR, far_device
from tests.models.representatives import TRAINING
from tests.orchestrator.train.thread_ranks import Twins

STEPS = 2
"""The optimizer has its state in the second one."""

arithmetics = pytest.mark.parametrize("arithmetic", ["integer", "float"])

POINTS = {"coquant": "[8, 4, 2]", "individual": "[4]"}
"""The bit-widths of methods that do not train two."""

MOBILENET = (
    "{name: mobilenet_v2_cifar, widths: [4, 6], depths: [1, 1], expansions: [1, 2], "
    "strides: [1, 2], stem_width: 4, head_width: 8}"
)


def waits_of_steps(job: Job, passes: int, world: int = 1) -> list[list[str]]:
    """Train some steps; return what the host waited for in each."""
    batch = LoadedBatch(
        torch.randint(256, (4, 3, 16, 16)).byte(),
        torch.arange(4) % 3,
        torch.arange(4),
        torch.ones(4).bool(),
        [],
    )
    of_steps = []
    with far_device() as noted:
        ranks = Twins(world=world, device=FAR)
        loop = build_phase((job,), 0, build_parts(job, ranks), ranks, STEPS).loop
        tally = Tally(loop.method.loss_names, FAR)

        def look(done: int) -> None:
            of_steps.append(list(noted))
            noted.clear()

        noted.clear()
        train_epoch(
            loop,
            [[batch] * passes] * STEPS,
            tally,
            epoch=0,
            first_step=0,
            wants_stop=lambda: False,
            after_step=look,
        )
    return of_steps


@pytest.mark.parametrize("method", TRAINING)
def test_a_step_waits_for_the_choice_of_each_teacher_and_once_at_its_end(
    tiny_job: Callable[..., Job], method: str
) -> None:
    points, first = POINTS.get(method, "[8, 2]"), ", stage: 2" if method == "bitmixer" else ""
    job = tiny_job(f"method={{name: {method}{first}}}", f"quantizer.bit_widths={points}")
    choices = len(job.points) - 1 if method == "coquant" else 0
    for waits in waits_of_steps(job, passes=2):
        assert len(waits) == choices + 1, waits


@arithmetics
@pytest.mark.parametrize(
    "options",
    [
        (f"model={MOBILENET}",),
        ("model={name: resnet50, widths: [2, 4], depths: [1, 1]}",),
        ("quantizer.weights.name=dorefa", "quantizer.activations.gradient=calibrated"),
        ("quantizer.weights.name=lsq_floor",),
        ("training.precision=bfloat16",),
        ("method.teacher_logits=clean", "method.swap_updates_bn_stats=false"),
    ],
    ids=lambda options: options[0][:24],
)
def test_no_layer_waits(
    tiny_job: Callable[..., Job], options: tuple[str, ...], arithmetic: str
) -> None:
    of_job = ("quantizer.bit_widths=[8, 2]", f"training.arithmetic={arithmetic}")
    job = tiny_job(*of_job, *options)
    for waits in waits_of_steps(job, passes=1):
        assert len(waits) == 2, waits


def test_averaging_over_ranks_adds_no_wait(tiny_job: Callable[..., Job]) -> None:
    for waits in waits_of_steps(tiny_job("quantizer.bit_widths=[8, 2]"), passes=1, world=2):
        assert len(waits) == 2, waits


@arithmetics
def test_an_evaluation_waits_for_its_results_alone(
    tiny_job: Callable[..., Job], arithmetic: str
) -> None:
    job = tiny_job("quantizer.bit_widths=[8, 2]", f"training.arithmetic={arithmetic}")
    counts = []
    for batch in (2, 9):
        with far_device() as noted:
            parts = build_parts(job, Ranks(device=FAR))
            noted.clear()
            evaluate(parts.network, job.points, parts.val_set, Ranks(device=FAR), batch=batch)
            counts.append(len(noted))
    assert counts == [2 * len(job.points)] * 2


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x[0] > 0),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x[x > 0],
        lambda x: torch.bincount(x.long().abs()),
        lambda x: x.copy_(torch.ones(3)),
        lambda x: torch.ones(3).to(x.device),
    ],
)
def test_what_waits_for_a_gpu_is_noted(wait: Callable[[torch.Tensor], object]) -> None:
    with far_device() as noted:
        x = torch.arange(3.0, device=FAR) - 1
        assert not noted
        wait(x)
        assert len(noted) == 1


def test_a_tensor_made_of_values_of_the_host_cannot_be_used() -> None:
    with far_device(), pytest.raises(RuntimeError, match="device meta"):
        torch.zeros(1, device=FAR) + torch.tensor([1.0], device=FAR)


def test_tensors_of_the_far_device_have_values_and_gradients() -> None:
    with far_device():
        weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]).to(FAR))
        (weight * torch.full((2,), 3.0, device=FAR)).square().sum().backward()
        assert weight.grad is not None
        assert weight.grad.tolist() == [18.0, 36.0]
