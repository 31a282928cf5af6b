"""Give batch norm the statistics of an operating point: one never trained, or quantized directly.

The cumulative average, each batch with the same weight:

    running mean = 1/N sum_i mean_i        running variance = 1/N sum_i var_i (unbiased)
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from models.precision import OperatingPoint


@torch.no_grad()
def calibrate(networks: Mapping[OperatingPoint, nn.Module], batches: Iterable[Tensor]) -> None:
    """Replace running statistics by averages over `batches`, each run through all `networks`.

    networks: by the point at which each is run, as network(inputs, point); one may have several.
    Only batch norm that this point uses is in training mode and is reset, so dropout is off, and
    weights, affine parameters and clip levels stay. Points that share batch norm need a copy of the
    network each, unless its inputs are the same at all of them, as behind the first convolution.
    Without a batch nothing changes.
    """
    with ExitStack() as modes:
        for network in set(networks.values()):
            modes.enter_context(_calibrating(network))
        for inputs in batches:
            for point, network in networks.items():
                network(inputs, point)


@contextmanager
def _calibrating(network: nn.Module) -> Iterator[None]:
    """Within, a batch norm is reset when it is first run; afterwards all modes are as before."""
    modes = [(module, module.training) for module in network.modules()]
    norms = [(m, m.momentum) for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    network.eval()
    for norm, _ in norms:
        norm.train()
    count = partial(_count_pass, Counter())
    hooks = [norm.register_forward_pre_hook(count) for norm, _ in norms]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for norm, momentum in norms:
            norm.momentum = momentum
        for module, training in modes:
            module.training = training


def _count_pass(passes: Counter[nn.Module], norm: nn.Module, _inputs: tuple[Tensor, ...]) -> None:
    """Begin a pass that weighs as much as each before it; torch would fetch their number."""
    assert isinstance(norm, nn.BatchNorm2d)
    if norm not in passes:
        norm.reset_running_stats()
    passes[norm] += 1
    norm.momentum = 1 / passes[norm]
