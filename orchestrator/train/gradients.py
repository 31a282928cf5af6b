"""One all-reduce per step, after the backward passes of all operating points.

The hooks of the data-parallel wrapper cannot be used with a backward pass for each point: they
reduce too early, too often or, with synchronization skipped, not at all.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from orchestrator.errors import Diverged
from orchestrator.train.ranks import Ranks

ADVICE = "A smaller optimizer.lr or optimizer.clip.lr usually helps."


def average_gradients(
    parameters: Sequence[nn.Parameter],
    ranks: Ranks,
    *,
    stop: bool,
    loss: Tensor | float = 0.0,
) -> bool:
    """Replace each gradient by its mean over the ranks; return whether any rank asks to stop.

    A parameter that no point used in this step keeps the gradient None and is skipped by the
    optimizer. Teacher and swap masks are the same on all ranks, so the set of used parameters is
    too. Raises RuntimeError when it is not: the ranks have drifted apart.

    loss: of this rank; only whether it is finite matters. Raises Diverged, on every
    rank, when the loss or a gradient of any rank is not.
    """
    if ranks.world == 1:
        own = torch.as_tensor(loss, device=ranks.device)
        check_finite([own, *(p.grad for p in parameters if p.grad is not None)])
        return stop
    used = torch.tensor([p.grad is not None for p in parameters], device=ranks.device)
    pieces = [(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in parameters]
    extra = [torch.as_tensor(value, device=ranks.device).view(1) for value in (stop, loss)]
    flags = torch.cat([used, *extra]).to(pieces[0].dtype)
    total = ranks.sum(torch.cat([*pieces, flags]))
    check_finite([total])
    gradients, used_by, stops, _ = torch.split(total, [total.numel() - len(flags), len(used), 1, 1])
    if not torch.equal(used_by, flags[: len(used)] * ranks.world):
        raise RuntimeError("The ranks used different parameters in one step.")
    _write_back(parameters, gradients / ranks.world)
    return bool(stops.item())


def check_finite(tensors: Sequence[Tensor]) -> None:
    """Raise Diverged unless every number is finite; one value is fetched from the device.

    A sum is the quickest test: it is finite only if all its terms are (and do not overflow it,
    which is as bad).
    """
    if not torch.isfinite(torch.stack([tensor.sum().double() for tensor in tensors]).sum()):
        raise Diverged(f"The loss or its gradients are no longer finite numbers. {ADVICE}")


def _write_back(parameters: Sequence[nn.Parameter], gradients: Tensor) -> None:
    sizes = [p.numel() for p in parameters]
    for parameter, mean in zip(parameters, torch.split(gradients, sizes), strict=True):
        if parameter.grad is not None:
            parameter.grad.copy_(mean.view_as(parameter))


def average_norm_statistics(network: nn.Module, ranks: Ranks) -> None:
    """Replace every running statistic of batch norm by its mean over the ranks.

    Each rank keeps the statistics of its own batches while it trains; before an evaluation they
    become one. Counts of batches are equal on all ranks and stay.
    """
    norms = (module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    buffers = [b for norm in norms for b in norm.buffers() if b.is_floating_point()]
    if ranks.world == 1 or not buffers:
        return
    mean = ranks.sum(torch.cat([b.flatten() for b in buffers])) / ranks.world
    for buffer, value in zip(buffers, torch.split(mean, [b.numel() for b in buffers]), strict=True):
        buffer.copy_(value.view_as(buffer))
