"""One network for each kind of block: what holds for a block holds for all networks of it."""

NETWORKS = ("resnet18_cifar", "resnet50", "mobilenet_v2_cifar", "resnet18_preact_cifar")

ORDERS = ("resnet18_cifar", "mobilenet_v2_cifar", "resnet18_preact_cifar")
"""One for each way through a block: quantized or float identity, batch norm behind or before."""
