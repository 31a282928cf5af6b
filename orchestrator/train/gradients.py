"""The gradients of a step, averaged over the ranks after the backward passes of all points.

The hooks of the data-parallel wrapper cannot be used with a backward pass for each point: they
reduce too early, too often or, with synchronization skipped, not at all.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from orchestrator.errors import Diverged
from orchestrator.train.ranks import Ranks

ADVICE = "A smaller optimizer.lr or optimizer.clip.lr usually helps."

CHUNK = 2**22
"""About how many numbers are summed up at once, 16 MiB in float32."""


class Gradients:
    """The gradients of the parameters of a run of one rank."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = tuple(parameters)

    def average(self, *, stop: bool, loss: Tensor) -> bool:
        """Replace each gradient by its mean over the ranks; return whether any rank asks to stop.

        A parameter that no point used in this step keeps the gradient None and is skipped by the
        optimizer.

        loss: of this rank, 0-dim; only whether it is finite matters. Raises Diverged, on every
        rank, when the loss or a gradient of any rank is not.
        """
        given = (p.grad for p in self._parameters if p.grad is not None)
        total = torch.stack([tensor.sum().double() for tensor in (loss, *given)]).sum()
        if not total.isfinite():
            raise _diverged()
        return stop


class FlatGradients(Gradients):
    """The gradients of one of several ranks; averaged, they are views of one flat buffer.

    The buffer also carries which parameters were used, the wish to stop, and the loss. Its parts
    are summed up chunk by chunk: while one is on its way, the next is filled.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], ranks: Ranks, *, chunk: int = CHUNK
    ) -> None:
        super().__init__(parameters)
        self._ranks, self._chunk = ranks, chunk
        sizes = [p.numel() for p in self._parameters]
        self._flat = self._parameters[0].detach().new_empty(sum(sizes) + len(sizes) + 2)
        *self._parts, self._used, self._stop, self._loss = torch.split(
            self._flat, [*sizes, len(sizes), 1, 1]
        )

    def average(self, *, stop: bool, loss: Tensor) -> bool:
        """Do as for one rank, with one read from the device.

        Teacher and swap masks are the same on all ranks, so the set of used parameters is too.
        Raises RuntimeError when it is not: the ranks have drifted apart.
        """
        self._note(stop=stop, loss=loss)
        for wait in [self._ranks.start_sum(chunk) for chunk in self._filled_chunks()]:
            wait()
        alike = ((self._used == 0) | (self._used == self._ranks.world)).all()
        found = torch.stack([self._flat.sum().isfinite(), alike, self._stop[0] > 0])
        finite, same, any_stop = found.tolist()
        if not finite:
            raise _diverged()
        if not same:
            raise RuntimeError("The ranks used different parameters in one step.")
        self._flat.div_(self._ranks.world)
        return bool(any_stop)

    def _note(self, *, stop: bool, loss: Tensor) -> None:
        is_used = [p.grad is not None for p in self._parameters]
        used = torch.tensor(is_used, dtype=self._flat.dtype, pin_memory=self._ranks.pins)
        self._used.copy_(used, non_blocking=True)
        self._stop.fill_(stop)
        self._loss.copy_(loss)

    def _filled_chunks(self) -> Iterator[Tensor]:
        """Move all gradients into the buffer; yield each chunk of it as soon as it is full."""
        begin = end = 0
        for parameter, part in zip(self._parameters, self._parts, strict=True):
            _move(parameter, part)
            end += len(part)
            if end - begin >= self._chunk:
                yield self._flat[begin:end]
                begin = end
        yield self._flat[begin:]


def gradients_of(parameters: Sequence[nn.Parameter], ranks: Ranks) -> Gradients:
    """Return the gradients of the parameters, to be averaged over the ranks."""
    return FlatGradients(parameters, ranks) if ranks.world > 1 else Gradients(parameters)


def _move(parameter: nn.Parameter, part: Tensor) -> None:
    """Make a gradient a view of a part (numbers,) of the buffer, which is 0 if there is none."""
    if parameter.grad is None:
        part.zero_()
    else:
        view = part.as_strided(parameter.size(), parameter.stride())
        parameter.grad = view.copy_(parameter.grad)


def _diverged() -> Diverged:
    return Diverged(f"The loss or its gradients are no longer finite numbers. {ADVICE}")


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
