"""Where the graph of a tensor that several backward passes reach is cut: beyond, they go as one."""

import torch
from torch import Tensor


class Cut:
    """A tensor computed once and used in several graphs, each with a backward pass of its own.

    leaf: the tensor for these graphs; their gradients add up there until `push`.
    """

    def __init__(self, output: Tensor) -> None:
        self._output = output
        self.leaf = output.detach().requires_grad_(output.requires_grad)

    def push(self) -> None:
        """Go backward from the sum of the gradients; nothing if there was none. Called once."""
        if self.leaf.grad is not None:
            torch.autograd.backward(self._output, self.leaf.grad)
            self.leaf.grad = None
