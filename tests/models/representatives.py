"""One network for each kind of block: what holds for a block holds for all networks of it.

And one weight quantizer for each kind of levels, and the methods that train.
"""

from models.layers.layout import Layout
from models.methods import METHODS
from models.quantizers import WEIGHT_QUANTIZERS
from models.table import resolve

NETWORKS = (
    *("resnet18_cifar", "resnet50", "mobilenet_v2_cifar", "resnet18_preact_cifar"),
    *("mobilenet_v2", "vgg11", "ebn"),
)

ORDERS = ("resnet18_cifar", "mobilenet_v2_cifar", "resnet18_preact_cifar")
"""One for each way through a block: quantized or float identity, batch norm behind or before."""

KINDS_OF_WEIGHTS = ("coquant_trunc", "lsq_floor", "one_weight")
"""Quantizers with levels of a whole layer, with a learned step, and with levels of each filter."""

NETWORKS_AND_WEIGHTS = [
    *((network, "coquant_trunc") for network in NETWORKS),
    *(("resnet18_cifar", weights) for weights in WEIGHT_QUANTIZERS if weights != "coquant_trunc"),
]
"""Every network, and every quantizer, but not each with each."""

LAYOUTS = [
    Layout("shared", "switchable"),
    Layout("switchable", "shared"),
    Layout("transitional", "switchable"),
]
"""Each kind of batch norm and of clip level: neither knows of the other."""

LAYOUTS_AND_WEIGHTS = [
    *((layout, "coquant_trunc") for layout in LAYOUTS),
    *((Layout(), weights) for weights in WEIGHT_QUANTIZERS if weights != "coquant_trunc"),
]
"""Every layout, and every quantizer, but not each with each."""

TRAINING = tuple(name for name in METHODS if resolve(METHODS, name).Settings.trains)
"""The methods that take steps."""

ORDERS_AND_METHODS = [
    *((ORDERS[0], method) for method in TRAINING),
    *((order, method) for order in ORDERS[1:] for method in ("coquant", "bitmixer")),
]
"""Every method, and every order with one whose layers differ in bits within a pass and with one
whose batch norm depends on the layer before."""
