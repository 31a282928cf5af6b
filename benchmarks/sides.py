"""The steps and evaluations that are compared, each built from a setting and ready to run again.

Those of `orch` are its own: what a worker of a run calls for each step, and after each epoch.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from itertools import cycle

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

from benchmarks.comparison import Run
from benchmarks.fake_quantized import fake_quantize, set_bits
from benchmarks.noise import Noise
from benchmarks.settings import Setting
from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_network
from orchestrator.train.epoch import Loop, train_step
from orchestrator.train.evaluate import evaluate
from orchestrator.train.gradients import FlatGradients
from orchestrator.train.numerics import set_numerics
from orchestrator.train.phase import Phase, build_phase
from orchestrator.train.ranks import Ranks
from orchestrator.train.setup import Parts, place
from orchestrator.train.tally import Tally

STEPS_PER_EPOCH = 1000
EVALUATED = 4
"""How many batches an evaluation has."""


def coquant(setting: Setting) -> Run:
    """One step of the optimizer at all bit-widths, with swaps and teachers."""
    return _steps(_phase(setting.load(), setting).loop, setting)


def coquant_in_group(setting: Setting) -> Run:
    """The same step by one rank alone in a group, of NCCL on a GPU, else of Gloo.

    It averages its gradients as one of several ranks does, with nobody to wait for.
    """
    if not dist.is_initialized():
        backend = "nccl" if setting.device == "cuda" else "gloo"
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
    return _steps(_InGroup(**vars(_phase(setting.load(), setting).loop)), setting)


def four_individual(setting: Setting) -> Run:
    """One step of each bit-width, every one with a network and an optimizer of its own."""
    steps = [_steps(_phase(job, setting).loop, setting) for job in setting.load_each()]
    return lambda: [step() for step in steps]


def evaluation(setting: Setting) -> Run:
    """An evaluation at all bit-widths."""
    phase, dataset = _phase(setting.load(), setting), Noise(setting, EVALUATED * setting.batch)
    network, points, ranks = phase.loop.network, phase.job.points, phase.loop.ranks
    return lambda: evaluate(network, points, dataset, ranks, batch=setting.batch)


class _InGroup(Loop):
    """The loop of one of several ranks."""

    @cached_property
    def gradients(self) -> FlatGradients:
        """The gradients, to be averaged over a group."""
        return FlatGradients(self.trained, self.ranks)


def _phase(job: Job, setting: Setting) -> Phase:
    """Build what a worker trains with, on one rank."""
    ranks, noise = Ranks(device=torch.device(setting.device)), Noise(setting, 1)
    set_numerics(job.training)
    network = build_network(job, setting.classes)
    parts = Parts(noise, noise, network, place(network, job, ranks))
    return build_phase(job.phase_jobs(), 0, parts, ranks, STEPS_PER_EPOCH)


def _steps(loop: Loop, setting: Setting) -> Run:
    """Return what takes one step after the other in the middle of a training."""
    batch = Noise(setting, setting.batch).batch()
    tally = Tally(loop.method.loss_names, loop.ranks.device)
    loop.network.train()
    indices = cycle(range(STEPS_PER_EPOCH))

    def step() -> None:
        train_step(
            loop,
            [batch],
            tally,
            epoch=loop.epochs // 2,
            index=next(indices),
            wants_stop=lambda: False,
        )

    return step


def float_step(setting: Setting) -> Run:
    """One step of the float network in plain torch, in torch's own memory format."""
    network = setting.network(setting.classes)
    return _plain_step(network, setting, torch.contiguous_format)


def float_step_channels_last(setting: Setting) -> Run:
    """The same step with the channels last in memory."""
    network = setting.network(setting.classes)
    return _plain_step(network, setting, torch.channels_last)


def fake_quantized(setting: Setting) -> Run:
    """One step with the loss of every bit-width in turn, fake quantization written plainly."""
    network = setting.network(setting.classes)
    bit_widths = [point.precision.weights for point in setting.load().points]
    fake_quantize(network, bit_widths)
    return _plain_step(network, setting, torch.contiguous_format, bit_widths)


def float_evaluation(setting: Setting) -> Run:
    """An evaluation of the float network in plain torch."""
    return _plain_evaluation(setting, torch.contiguous_format)


def float_evaluation_channels_last(setting: Setting) -> Run:
    """The same evaluation with the channels last in memory."""
    return _plain_evaluation(setting, torch.channels_last)


def _plain_step(
    network: nn.Module,
    setting: Setting,
    memory_format: torch.memory_format,
    bit_widths: Sequence[int] = (32,),
) -> Run:
    """Return what takes a step of SGD; bit_widths: of the passes."""
    device, data = setting.device, Noise(setting, setting.batch)
    _lay_out(network, device, memory_format).train()
    inputs = data.normalized().to(device, memory_format=memory_format)
    labels = data.labels.to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)

    def step() -> None:
        optimizer.zero_grad()
        for bits in bit_widths:
            set_bits(network, bits)
            with _mixed(setting):
                loss = F.cross_entropy(network(inputs), labels)
            torch.autograd.backward(loss)
        optimizer.step()

    return step


def _plain_evaluation(setting: Setting, memory_format: torch.memory_format) -> Run:
    device, data = setting.device, Noise(setting, EVALUATED * setting.batch)
    network = _lay_out(setting.network(setting.classes), device, memory_format).eval()
    images = data.normalized().to(device, memory_format=memory_format)
    inputs = torch.split(images, setting.batch)
    labels = torch.split(data.labels.to(device), setting.batch)

    @torch.no_grad()
    def evaluate_once() -> float:
        right = torch.zeros((), device=device)
        for some, classes in zip(inputs, labels, strict=True):
            with _mixed(setting):
                right += (network(some).argmax(dim=1) == classes).sum()
        return float(right)

    return evaluate_once


def _lay_out(network: nn.Module, device: str, memory_format: torch.memory_format) -> nn.Module:
    """Move a network to a device, its convolutions' weights in a memory format; return it."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.to(device, memory_format=memory_format)
    return network.to(device)


def _mixed(setting: Setting) -> AbstractContextManager[None]:
    """On a GPU, the mixed precision that torch offers for a float network."""
    mixed = setting.device == "cuda" and setting.precision == "bfloat16"
    return torch.autocast(setting.device, torch.bfloat16, enabled=mixed)
