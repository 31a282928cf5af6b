"""Map weights into [0,1] by tanh and its maximum (DoReFa's normalization), and the gradient back.

Shared by the weight quantizers of CoQuant (Eq. 1, 3) and AdaBits (Eq. 2-4).
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from models.quantizers.base import WeightQuantizer, arithmetic_dtype
from models.quantizers.straight_through import straight_through


class NormalizedWeight:
    """x = tanh(W) / (2 max|tanh W|) + 1/2, without gradient; x = 1/2 where all weights are 0.

    The maximum is that of absolute values: a signed one, as CoQuant prints it, lets x leave [0,1].
    The tanh is computed again when it is needed: kept, it would take as much memory as the weight.
    """

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight.detach()
        self._largest = self._weight.abs().amax()
        self.maximum = _tanh(self._largest)

    def unit(self) -> Tensor:
        """Return x in [0,1]."""
        return _tanh(self._weight).div_(2 * _divisor(self.maximum)).add_(0.5)

    def clamped(self) -> Tensor:
        """Return 2x - 1 = tanh(W) / max|tanh W|."""
        return _tanh(self._weight).div_(_divisor(self.maximum))

    def signed(self, weight: Tensor, *, max_grad: bool) -> Tensor:
        """Return a tensor without memory that passes its gradient, that of 2x - 1, on to weight.

        max_grad: differentiate through the maximum as well.
        """
        output: Tensor = _Normalize.apply(  # type: ignore[no-untyped-call]
            weight, self._largest, max_grad
        )
        return output


class NormalizingQuantizer(WeightQuantizer):
    """A quantizer of x whose gradient passes rounding unchanged: dL/d(2x - 1) = dL/dW_b."""

    def __init__(self, settings: Any, bit_widths: Sequence[int], code_bits: int) -> None:
        super().__init__(settings, bit_widths, code_bits)
        self._cuts: dict[NormalizedWeight, _Cut] | None = None

    @abstractmethod
    def normalized(self, weight: Tensor) -> NormalizedWeight:
        """Return the normalization that all bit-widths share."""

    def forward(self, weight: Tensor, bits: int) -> Tensor:
        """Return W_b with the gradient of `stand_in`."""
        values = self.levels(weight, bits).values(arithmetic_dtype(weight))
        return straight_through(values, self.stand_in(weight, bits))

    def stand_in(self, weight: Tensor, bits: int) -> Tensor:
        """Return a tensor without memory whose gradient, that of W_b, is passed on to weight."""
        normalized, max_grad = self.normalized(weight), self.settings.norm_max_grad
        if self._cuts is None:
            return normalized.signed(weight, max_grad=max_grad)
        if normalized not in self._cuts:
            with torch.enable_grad():  # a pass without gradient may come first
                signed = normalized.signed(weight, max_grad=max_grad)
                self._cuts[normalized] = _Cut(weight, signed)
        return self._cuts[normalized].leaf

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Within, gradients add up at 2x - 1; leaving passes their sum on to the weight."""
        assert self._cuts is None
        cuts: dict[NormalizedWeight, _Cut] = {}
        self._cuts = cuts
        try:
            yield
            for cut in cuts.values():
                cut.push()
        finally:
            self._cuts = None

    def end_gathering(self, done: Callable[[Tensor], None]) -> None:
        """Let the gradient of each weight go on as soon as the last pass has reached it."""
        assert self._cuts is not None
        for cut in self._cuts.values():
            cut.push_next(done)


class _Cut:
    """A tensor at which gradients of several passes add up before they go on, as one, to a weight.

    leaf: the tensor for these passes.
    """

    def __init__(self, weight: Tensor, output: Tensor) -> None:
        self._weight, self._output = weight, output
        self.leaf = output.detach().requires_grad_(output.requires_grad)

    def push(self) -> None:
        """Let the sum of the gradients go on, if there is one that has not."""
        _go_on(self.leaf, self._output)

    def push_next(self, done: Callable[[Tensor], None]) -> None:
        """Push when the next gradient has been added, which is the last; then call done."""
        weight, output = self._weight, self._output  # without self, which would keep itself alive

        def push(leaf: Tensor) -> None:
            _go_on(leaf, output)
            done(weight)

        if self.leaf.requires_grad:
            self.leaf.register_post_accumulate_grad_hook(push)  # type: ignore[no-untyped-call]


def _go_on(leaf: Tensor, output: Tensor) -> None:
    if leaf.grad is not None:
        torch.autograd.backward(output, leaf.grad)
        leaf.grad = None


class _Normalize(torch.autograd.Function):
    """From W to 2x - 1 = tanh W / max|tanh W|, of which only the derivative is computed."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, largest: Tensor, max_grad: bool) -> Tensor:
        ctx.save_for_backward(weight, largest)
        ctx.max_grad = max_grad
        return weight.new_zeros((), dtype=arithmetic_dtype(weight)).expand_as(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weight, largest = ctx.saved_tensors
        tanh, divisor = _tanh(weight), _divisor(_tanh(largest))
        grad_tanh = grads[0] / divisor
        if ctx.max_grad:
            # Where |t| is the maximum, its derivative is t / max|t|; equal maxima share it.
            maxima = torch.where(weight.abs() == largest, tanh, 0)
            pull = (grad_tanh * tanh).sum() / divisor.square()
            grad_tanh.addcmul_(maxima, pull / maxima.count_nonzero().clamp(min=1), value=-1)
        grad_weight = torch.ops.aten.tanh_backward(grad_tanh, tanh)
        return grad_weight.to(weight.dtype), None, None


def _tanh(weight: Tensor) -> Tensor:
    return weight.to(arithmetic_dtype(weight)).tanh()


def _divisor(maximum: Tensor) -> Tensor:
    """Return the maximum, or infinity for 0: x is then 1/2 everywhere, and the gradient 0."""
    return torch.where(maximum == 0, torch.inf, maximum)
