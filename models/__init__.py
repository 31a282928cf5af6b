"""Networks that run at several bit-widths: the table of networks, and how one is built.

A new network is one file in `models/networks` and one line here. Names are looked up without
importing what they name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.networks.base import AnyBitNetwork
    from models.networks.settings import NetworkSettings
    from models.quantizers.settings import QuantizerSettings

NETWORKS = {
    "resnet18_cifar": "models.networks.resnet_cifar:ResNet18Cifar",
    "mobilenet_v2_cifar": "models.networks.mobilenet:MobileNetV2Cifar",
    "resnet18": "models.networks.resnet:ResNet18",
    "resnet50": "models.networks.resnet:ResNet50",
}


def build_network(
    settings: NetworkSettings,
    quantizer: QuantizerSettings,
    *,
    bit_widths: Sequence[int],
    num_classes: int,
    clip_init: float,
    code_bits: int | None = None,
) -> AnyBitNetwork:
    """Build the network that `settings.name` names, with freshly drawn weights.

    bit_widths: what it can run at, high to low.
    clip_init: the initial clip level of every layer and bit-width (the papers' alpha_init).
    code_bits: bit-width of the stored weight codes (b1), by default the highest of bit_widths.

    With `settings.num_segments` the result takes clips (batch, segments, channels, height, width),
    else images (batch, channels, height, width).

    Raises ValueError for bit-widths that cannot be built.
    """
    from models.layers.factory import LayerFactory
    from models.networks.tsn import TemporalSegmentNetwork
    from models.table import resolve

    layers = LayerFactory(
        settings=quantizer,
        bit_widths=tuple(bit_widths),
        code_bits=max(bit_widths) if code_bits is None else code_bits,
        clip_init=clip_init,
    )
    network: AnyBitNetwork = resolve(NETWORKS, settings.name)(settings, layers, num_classes)
    if settings.num_segments is None:
        return network
    return TemporalSegmentNetwork(network, settings.num_segments)
