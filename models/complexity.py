"""How large a network is, and how much it computes for one input, at an operating point.

    size      sum of weights * bits / 8, and 8 bytes for each channel of batch norm (gamma, beta)
    BitOPs    sum of multiply-accumulates * bits of weights * bits of activations     (AdaBits)
    C_size    sum over filters of bits * C_in K_w K_h, in bits                        (OneWeight)

The first convolution and the linear layer count their own bits twice in BitOPs, as AdaBits does
(8 x 8), whatever the bits of their inputs; a layer in floats counts 32. Not counted are running
statistics, clip levels, steps, slopes and biases.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from models import build_network
from models.networks.base import AnyBitNetwork
from models.networks.settings import LARGEST_WIDTH, NetworkSettings
from models.precision import FLOAT, OperatingPoint, Precision
from models.quantizers.settings import QuantizerSettings

BYTES_OF_CHANNEL = 8
MIB = 2**20


STEPS = 1000
"""Width multipliers are found to this part of 1."""


class Ends(NamedTuple):
    """Bit-widths of the first convolution and of the linear layer, the same at every point."""

    stem: int = 8
    head: int = 8


EIGHT = Ends()


@dataclass(frozen=True)
class LayerCost:
    """One layer: its number of weights, and of multiply-accumulates (MACs) for one input."""

    name: str
    weights: int
    macs: int


@dataclass(frozen=True)
class Complexity:
    """Of a network at an operating point: size, BitOPs for one input, and C_size in bits."""

    size_bytes: float
    bitops: int
    c_size: int

    @property
    def size_mib(self) -> float:
        """The size in MiB, which AdaBits calls MB."""
        return self.size_bytes / MIB


@dataclass(frozen=True)
class Anatomy:
    """What a network is made of, whatever the precision.

    inner: the layers that can be given one, in the order of the network's own list.
    """

    stem: LayerCost
    inner: tuple[LayerCost, ...]
    head: LayerCost
    norm_channels: int

    @property
    def macs(self) -> int:
        """The multiply-accumulates for one input."""
        return sum(layer.macs for layer in (self.stem, *self.inner, self.head))

    def at(self, point: OperatingPoint, ends: Ends = EIGHT) -> Complexity:
        """Return the complexity at a point; a float network's is all in floats."""
        if point == OperatingPoint.at(FLOAT):
            ends = Ends(FLOAT, FLOAT)
        own = dict(point.layers)
        costs = [
            (self.stem, Precision(ends.stem, ends.stem)),
            *((layer, own.get(layer.name, point.precision)) for layer in self.inner),
            (self.head, Precision(ends.head, ends.head)),
        ]
        c_size = sum(layer.weights * at.weights for layer, at in costs)
        return Complexity(
            size_bytes=c_size / 8 + BYTES_OF_CHANNEL * self.norm_channels,
            bitops=sum(layer.macs * at.weights * at.activations for layer, at in costs),
            c_size=c_size,
        )


def most_of(points: Sequence[OperatingPoint], anatomy: Anatomy) -> OperatingPoint:
    """Return a point at which each layer has the most bits of weights that it has at any point."""
    if OperatingPoint.at(FLOAT) in points:
        return OperatingPoint.at(FLOAT)
    own = [(point.precision, dict(point.layers)) for point in points]
    layers = tuple(
        (layer.name, max((at.get(layer.name, rest) for rest, at in own), key=_weight_bits))
        for layer in anatomy.inner
    )
    return OperatingPoint("most", points[0].precision, layers)


def _weight_bits(precision: Precision) -> int:
    return precision.weights


def adaptive_bytes(highest: Complexity, anatomy: Anatomy, network: AnyBitNetwork) -> float:
    """Return the size of a network that runs at all its points: one set of weights, all batch norm.

    highest: the complexity where each layer has the most bits, as `most_of` gives them.
    """
    more = norm_channels(network) - anatomy.norm_channels
    return highest.size_bytes + BYTES_OF_CHANNEL * more


def norm_channels(network: nn.Module) -> int:
    """Return the channels of all sets of batch norm together."""
    return sum(m.num_features for m in network.modules() if isinstance(m, nn.BatchNorm2d))


def anatomy_of(settings: NetworkSettings, num_classes: int, image_size: int) -> Anatomy:
    """Return what a network is made of. It is built without memory, and no weight is drawn.

    image_size: height and width of an image, or of each frame of a clip, whose frames all count.
    """
    network = _in_floats(settings, num_classes)
    frames = settings.num_segments or 1
    places = _places(_small(settings, network), image_size)
    macs = {name: frames * places[name] * layer.weight.numel() for name, layer in _layers(network)}
    return _anatomy(network, macs)


def width_for(
    reference: int,
    settings: NetworkSettings,
    num_classes: int,
    point: OperatingPoint,
    ends: Ends = EIGHT,
) -> float:
    """Return the width multiplier whose C_size is nearest to a reference, in bits (OneWeight).

    Found by bisection, to a thousandth; of two that are equally near, the lower one. Raises
    ValueError for a reference that multipliers from 0.001 to 64 do not come up to, and for a
    network that does not exist at every width in between.
    """

    def size(steps: int) -> int:
        network = _in_floats(_widened(settings, steps / STEPS), num_classes)
        return _anatomy(network, {}).at(point, ends).c_size

    low, high = 1, STEPS
    while size(high) < reference:
        if high == LARGEST_WIDTH * STEPS:
            raise _unreached(settings, high, size(high), reference)
        low, high = high, 2 * high
    if size(low) > reference:
        raise _unreached(settings, low, size(low), reference)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if size(middle) >= reference else (middle, high)
    return min((low, high), key=lambda steps: abs(size(steps) - reference)) / STEPS


def _unreached(settings: NetworkSettings, steps: int, size: int, reference: int) -> ValueError:
    unlike = "more" if size > reference else "less"
    return ValueError(
        f"even {steps / STEPS:g} times as wide, {settings.name} has a C_size of {size} bits, "
        f"{unlike} than {reference}"
    )


def _widened(settings: NetworkSettings, width: float) -> NetworkSettings:
    """Return a network's settings at another width. Raises ValueError where it has none."""
    try:
        return type(settings).model_validate(settings.model_dump() | {"width": width})
    except ValidationError as error:
        why = "; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())
        raise ValueError(
            f"{settings.name} cannot be {width:g} times as wide ({why}), and a width is found by "
            "trying any; try some that can be, such as model.width=0.5"
        ) from error


def _in_floats(settings: NetworkSettings, num_classes: int) -> AnyBitNetwork:
    """Return the float network for one image or frame, without weights."""
    blank = settings.model_copy(update={"num_segments": None})
    with torch.device("meta"):
        network = build_network(
            blank,
            QuantizerSettings(),
            precisions=[Precision(FLOAT, FLOAT)],
            num_classes=num_classes,
        )
    return network.eval()


def _small(settings: NetworkSettings, network: AnyBitNetwork) -> AnyBitNetwork:
    """Return a network with the layers of one, of few classes and narrower if that is wide.

    Each computes as many places, and it fits in memory. To run the network itself on torch's meta
    device loads the compiler, which takes seconds.
    """
    names = [name for name, _ in _layers(network)]
    for width in (1.0, 2.0):  # where only the stages are wider, there are more shortcuts than at 1
        if width < settings.width:
            small = _in_floats(settings.model_copy(update={"width": width}), num_classes=1)
            if [name for name, _ in _layers(small)] == names:
                return small
    return _in_floats(settings, num_classes=1)


def _anatomy(network: AnyBitNetwork, macs: Mapping[str, int]) -> Anatomy:
    stem, *inner, head = (
        LayerCost(name, layer.weight.numel(), macs.get(name, 0)) for name, layer in _layers(network)
    )
    return Anatomy(stem, tuple(inner), head, norm_channels(network))


def _layers(network: AnyBitNetwork) -> Iterator[tuple[str, nn.Conv2d | nn.Linear]]:
    """Yield what has weights: the first convolution, those of the network's list, the last."""
    modules = dict(network.named_modules())
    for name in ("conv1", *(info.name for info in network.quantized_layers), "fc"):
        layer = modules[name]
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        yield name, layer


def _places(network: AnyBitNetwork, image_size: int) -> dict[str, int]:
    """Return how many places of the output each layer computes, from a batch of no images."""
    places: dict[str, int] = {}

    def counting(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def count(_layer: nn.Module, _inputs: object, output: Tensor) -> None:
            places[name] = math.prod(output.shape[2:])

        return count

    network.to_empty(device="cpu")
    for name, layer in _layers(network):
        layer.register_forward_hook(counting(name))
    with torch.no_grad():
        network(torch.zeros(0, 3, image_size, image_size), FLOAT)
    return places
