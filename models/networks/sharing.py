"""One optimizer step, in which what its passes have in common is computed once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from torch import Tensor

from models.networks.base import AnyBitNetwork, Inputs
from models.networks.stem import StemOutput
from models.quantizers.base import WeightQuantizer

KEPT_BYTES = 64 * 2**20
"""Up to this size the outputs of the stem are kept for all batches of a step.

Their gradients take as much again.
"""


@contextmanager
def sharing(
    network: AnyBitNetwork, inputs: Sequence[Tensor], passes: int
) -> Iterator[list[Inputs]]:
    """Yield the batches of a step as the network takes them at any operating point, in any pass.

    Backward passes stop where they meet: behind the stem, and at the normalized weights. On the way
    out the sum of their gradients goes on from there, once; after an exception it is dropped. The
    first batch is always kept behind the stem, others within KEPT_BYTES: the rest stay inputs, and
    each pass runs the stem. So do all batches if there is nobody to share a stem with.

    passes: how many each batch takes part in.
    """
    with ExitStack() as weights:
        for quantizer in _quantizers(network):
            weights.enter_context(quantizer.gathering())
        stems = _run_stems(network, inputs) if passes > 1 else []
        yield [*stems, *inputs[len(stems) :]]
        for stem in stems:
            stem.push()


def end_sharing(network: AnyBitNetwork, done: Callable[[Tensor], None]) -> None:
    """Let gradients go on to the weights during the next backward pass, which is the last.

    done: called with each weight whose gradient will not change any more, from the network's end to
    its beginning. Leaving `sharing` does the rest, such as the stem, which gets gradients there.
    """
    for layer in network.convolutions():
        layer.quantizer.end_gathering(done)


def _quantizers(network: AnyBitNetwork) -> list[WeightQuantizer]:
    return [module for module in network.modules() if isinstance(module, WeightQuantizer)]


def _run_stems(network: AnyBitNetwork, inputs: Sequence[Tensor]) -> list[StemOutput]:
    first = network.share(inputs[0])
    count = max(1, KEPT_BYTES // first.features.nbytes)
    return [first, *map(network.share, inputs[1:count])]
