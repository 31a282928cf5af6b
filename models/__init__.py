"""Networks that run at several bit-widths: the table of networks, and how one is built.

A new network is one file in `models/networks` and one line here. Names are looked up without
importing what they name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.layers.layout import Layout
    from models.networks.base import AnyBitNetwork
    from models.networks.settings import NetworkSettings
    from models.precision import Precision
    from models.quantizers.settings import QuantizerSettings

NETWORKS = {
    "resnet18_cifar": "models.networks.resnet_cifar:ResNet18Cifar",
    "mobilenet_v2_cifar": "models.networks.mobilenet:MobileNetV2Cifar",
    "mobilenet_v2_oneweight": "models.networks.mobilenet:MobileNetV2OneWeight",
    "mobilenet_v2": "models.networks.mobilenet:MobileNetV2",
    "mobilenet_v1": "models.networks.mobilenet:MobileNetV1",
    "inv_resnet26": "models.networks.mobilenet:InvResNet",
    "vgg11": "models.networks.vgg:Vgg11",
    "resnet_cifar": "models.networks.resnet_cifar:ResNetCifar",
    "resnet18": "models.networks.resnet:ResNet18",
    "resnet34": "models.networks.resnet:ResNet34",
    "resnet50": "models.networks.resnet:ResNet50",
    "resnet18_preact_cifar": "models.networks.preact:ResNet18PreactCifar",
    "resnet18_preact": "models.networks.preact:ResNet18Preact",
    "resnet34_preact": "models.networks.preact:ResNet34Preact",
    "resnet50_preact": "models.networks.preact:ResNet50Preact",
    "ebn": "models.networks.ebn:Ebn",
}


def build_network(
    settings: NetworkSettings,
    quantizer: QuantizerSettings,
    *,
    precisions: Sequence[Precision],
    num_classes: int,
    layout: Layout | None = None,
    code_bits: int | None = None,
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
    std: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> AnyBitNetwork:
    """Build the network that `settings.name` names, with freshly drawn weights.

    precisions: what it can run at, high to low. layout: what these share; by default each has
        batch norm and clip levels of its own.
    code_bits: bit-width of the stored weight codes (b1), by default the highest of the weights.
    mean, std: of the channels, for pixels in [0, 1].

    With `settings.num_segments` the result takes clips (batch, segments, channels, height, width),
    else images (batch, channels, height, width).

    Raises ValueError for precisions that cannot be built.
    """
    from models.layers.factory import LayerFactory
    from models.layers.layout import Layout
    from models.layers.normalize import Normalize
    from models.networks.tsn import TemporalSegmentNetwork
    from models.precision import FLOAT
    from models.table import resolve

    highest = max((p.weights for p in precisions if p.weights != FLOAT), default=1)
    layers = LayerFactory(
        settings=quantizer,
        precisions=tuple(precisions),
        layout=layout or Layout(),
        code_bits=code_bits or highest,
    )
    kind = resolve(NETWORKS, settings.name)
    network: AnyBitNetwork = kind(settings, layers, Normalize(mean, std), num_classes)
    network.start_quantizers()
    if settings.num_segments is None:
        return network
    return TemporalSegmentNetwork(network, settings.num_segments)
