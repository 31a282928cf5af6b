"""Against the gradient of the sum, in one graph."""

import torch

from models.cut import Cut


def test_gradients_of_several_graphs_go_on_as_their_sum() -> None:
    x = torch.randn(5, requires_grad=True)
    backward_passes = []
    output = x.tanh()
    output.register_hook(backward_passes.append)
    cut = Cut(output)
    for factor in (2.0, -5.0):
        (factor * cut.leaf.square()).sum().backward()
    assert x.grad is None
    cut.push()
    (wanted,) = torch.autograd.grad((-3 * x.tanh().square()).sum(), x)
    torch.testing.assert_close(x.grad, wanted)
    assert len(backward_passes) == 1


def test_without_a_gradient_nothing_goes_on() -> None:
    x = torch.randn(5, requires_grad=True)
    Cut(x.tanh()).push()
    Cut(torch.randn(5)).push()
    assert x.grad is None
