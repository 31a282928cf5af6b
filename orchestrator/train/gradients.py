"""The gradients of a step, averaged over the ranks after the backward passes of all points.

The hooks of the data-parallel wrapper cannot be used with a backward pass for each point: they
reduce too early, too often or, with synchronization skipped, not at all.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.networks.base import AnyBitNetwork
from models.networks.sharing import end_sharing
from models.quantizers.moving_range import MovingRange
from orchestrator.errors import Diverged
from orchestrator.train.ranks import Ranks

ADVICE = "A smaller optimizer.lr or optimizer.clip.lr usually helps."

CHUNK = 2**22
"""About how many numbers are summed up at once, 16 MiB in float32."""


class Gradients:
    """The gradients of the parameters of a run of one rank."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = tuple(parameters)

    def begin_last_backward(self, network: AnyBitNetwork) -> None:
        """Prepare for the last backward pass of a step, within `sharing`.

        Nothing is to be done for one rank: after the pass, when no activations are left, there is
        more memory to complete the gradients.
        """

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

    The buffer also carries which parameters were used, the wish to stop, and the loss. It is summed
    up chunk by chunk, each as soon as it and those before it are complete, while the last backward
    pass goes on.

    parameters: first those that are complete first.
    """

    def __init__(self, parameters: Sequence[Tensor], ranks: Ranks) -> None:
        super().__init__(parameters)
        self._ranks = ranks
        sizes = [p.numel() for p in self._parameters]
        self._flat = self._parameters[0].detach().new_empty(sum(sizes) + len(sizes) + 2)
        *parts, self._used, self._stop, self._loss = torch.split(
            self._flat, [*sizes, len(sizes), 1, 1]
        )
        by_parameter = dict(zip(self._parameters, parts, strict=True))
        self._chunks = tuple(_chunks(self._flat, by_parameter))
        self._complete: set[Tensor] = set()
        self._sums: list[Callable[[], None]] = []

    def begin_last_backward(self, network: AnyBitNetwork) -> None:
        """Let gradients be summed up while the pass goes on."""
        end_sharing(network, self.complete)

    def complete(self, parameter: Tensor) -> None:
        """Take note of a parameter whose gradient will not change any more in this step.

        Chunks that are complete begin to be summed up; the last one waits for `average`.
        """
        self._complete.add(parameter)
        for chunk in self._chunks[len(self._sums) : -1]:
            if not self._complete.issuperset(chunk.parts):
                return
            self._begin(chunk)

    def average(self, *, stop: bool, loss: Tensor) -> bool:
        """Do as for one rank, with one read from the device.

        Teacher and swap masks are the same on all ranks, so the set of used parameters is too.
        Raises RuntimeError when it is not: the ranks have drifted apart.
        """
        self._note(stop=stop, loss=loss)
        for chunk in self._chunks[len(self._sums) :]:
            self._begin(chunk)
        for wait in self._sums:
            wait()
        self._complete, self._sums = set(), []
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

    def _begin(self, chunk: "_Chunk") -> None:
        for parameter, part in chunk.parts.items():
            _move(parameter, part)
        self._sums.append(self._ranks.start_sum(chunk.flat))


class _Chunk(NamedTuple):
    """A stretch of the buffer (numbers,), and the parts of it that belong to parameters."""

    flat: Tensor
    parts: Mapping[Tensor, Tensor]


def _chunks(flat: Tensor, parts: Mapping[Tensor, Tensor]) -> Iterator[_Chunk]:
    """Cut the buffer behind every parameter that fills a chunk; the rest is the last one."""
    begin, end, own = 0, 0, {}
    for parameter, part in parts.items():
        own[parameter] = part
        end += len(part)
        if end - begin >= CHUNK:
            yield _Chunk(flat[begin:end], own)
            begin, own = end, {}
    yield _Chunk(flat[begin:], own)


def gradients_of(parameters: Sequence[Tensor], ranks: Ranks) -> Gradients:
    """Return the gradients of the parameters, to be averaged over the ranks."""
    return FlatGradients(parameters, ranks) if ranks.world > 1 else Gradients(parameters)


def _move(parameter: Tensor, part: Tensor) -> None:
    """Make a gradient a view of a part (numbers,) of the buffer, which is 0 if there is none."""
    if parameter.grad is None:
        part.zero_()
    else:
        view = part.as_strided(parameter.size(), parameter.stride())
        parameter.grad = view.copy_(parameter.grad)


def _diverged() -> Diverged:
    return Diverged(f"The loss or its gradients are no longer finite numbers. {ADVICE}")


def average_norm_statistics(network: nn.Module, ranks: Ranks) -> None:
    """Replace every running statistic of batch norm, and moving range, by its mean over the ranks.

    Each rank keeps the statistics of its own batches while it trains; before an evaluation they
    become one. Counts of batches are equal on all ranks and stay.
    """
    kinds = nn.BatchNorm2d | MovingRange
    norms = (module for module in network.modules() if isinstance(module, kinds))
    buffers = [b for norm in norms for b in norm.buffers() if b.is_floating_point()]
    if ranks.world == 1 or not buffers:
        return
    mean = ranks.sum(torch.cat([b.flatten() for b in buffers])) / ranks.world
    for buffer, value in zip(buffers, torch.split(mean, [b.numel() for b in buffers]), strict=True):
        buffer.copy_(value.view_as(buffer))
