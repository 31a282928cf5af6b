"""What every network that runs at several precisions offers to methods and to the trainer."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from models.kernels import Kernel
from models.layers.conv import QuantizedConv2d
from models.layers.layout import Switched
from models.layers.linear import Head
from models.layers.norm import (
    SharedBatchNorm2d,
    SwitchableBatchNorm2d,
    keep_statistics,
    measure,
)
from models.networks.settings import NetworkSettings
from models.networks.stem import StemOutput
from models.precision import (
    FLOAT,
    Assignment,
    LayerInfo,
    LayerPrecision,
    OperatingPoint,
    Precision,
    cost,
)
from models.quantizers.base import ActivationQuantizer
from models.quantizers.double_rounding import StoredStep
from models.quantizers.lsq import LearnedSteps
from models.quantizers.lsq_activation import InputSteps
from models.quantizers.moving_range import MovingRange, MovingRanges
from models.quantizers.pact import ClipLevels

Point = OperatingPoint | int | str
"""An operating point, or the notation of a single precision: 4, "4bit", "w1a4"."""

Inputs = Tensor | StemOutput
"""A batch: uint8 pixels or floats, or what the stem made of them."""


@runtime_checkable
class Block(Protocol):
    """A swappable block: its quantized layers on the main path, in order, and its shortcut's."""

    main: ClassVar[tuple[str, ...]]

    @property
    def shortcut_layer(self) -> str | None:
        """The name of the shortcut's convolution, if it has one."""


class AnyBitNetwork(nn.Module, ABC):
    """A network with one set of weights, and batch norm and clip levels as its layout says."""

    Settings: ClassVar[type[NetworkSettings]]

    def __init__(self, precisions: tuple[Precision, ...]) -> None:
        super().__init__()
        self._precisions = precisions
        self._layers: tuple[LayerInfo, ...] = ()

    @property
    def backbone(self) -> "AnyBitNetwork":
        """The network whose module names are torchvision's."""
        return self

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """The precisions it has batch norm and clip levels for, high to low."""
        return self.backbone._precisions

    @property
    def quantized_layers(self) -> tuple[LayerInfo, ...]:
        """Every layer that can be given a precision, named as in the backbone's state dict.

        A shortcut's convolution follows the layers on the main path of its block.
        """
        return self.backbone._layers

    def forward(self, inputs: Inputs, at: Point | Assignment) -> Tensor:
        """Return logits (batch, classes) in the type of the parameters.

        inputs: uint8 pixels, which the first layer normalizes; floats go in as they are; behind the
        stem starts what `share` returned.
        Raises ValueError for a precision that the network has no batch norm for.
        """
        assignment = at if isinstance(at, Assignment) else self.assignment(at)
        if len(assignment.layers) != len(self.quantized_layers):
            count = len(self.quantized_layers)
            raise ValueError(f"{len(assignment.layers)} precisions for {count} layers")
        self._check_known(assignment)
        features = inputs.begin_pass() if isinstance(inputs, StemOutput) else self.stem(inputs)
        return self.from_stem(features, assignment)

    def share(self, inputs: Tensor) -> StemOutput:
        """Run the stem once, for all passes over a batch."""
        norm = self.stem_norm
        run = partial(self.stem, inputs)
        if not (isinstance(norm, SharedBatchNorm2d) and norm.training):
            return StemOutput(run, [])
        with measure(norm) as statistics:
            return StemOutput(run, [statistics])

    @property
    def shares_stem_norm(self) -> bool:
        """Whether the batch norm behind the first convolution is the same at all points."""
        return isinstance(self.stem_norm, SharedBatchNorm2d)

    @property
    @abstractmethod
    def stem_norm(self) -> nn.Module:
        """The batch norm behind the first convolution."""

    @abstractmethod
    def stem(self, inputs: Tensor) -> Tensor:
        """Compute what the logits of all points have in common; called by forward and share.

        Up to the first convolution, and its batch norm if it is shared; without a random number.
        """

    @abstractmethod
    def from_stem(self, features: Tensor, assignment: Assignment) -> Tensor:
        """Compute the logits (batch, classes) from what `stem` returns, which stays as it is."""

    def assignment(self, point: Point) -> Assignment:
        """Return the precision of each layer at an operating point.

        Raises ValueError for a layer that the network does not have, and for a precision that it
        has no batch norm for.
        """
        if not isinstance(point, OperatingPoint):
            point = OperatingPoint.at(point)
        own = dict(point.layers)
        names = [info.name for info in self.quantized_layers]
        if unknown := own.keys() - set(names):
            raise ValueError(f"no layer is called {min(unknown)!r}; there are {', '.join(names)}")
        layers = tuple(own.get(name, point.precision) for name in names)
        assignment = Assignment(point.precision, layers)
        self._check_known(assignment)
        return assignment

    def _check_known(self, assignment: Assignment) -> None:
        if missing := {assignment.outside, *assignment.layers} - set(self.precisions):
            wanted, known = (", ".join(p.label for p in ps) for ps in (missing, self.precisions))
            raise ValueError(f"no batch norm for {wanted}, only for {known}")

    def own_name(self, name: str) -> str:
        """Return what is called `name` in torchvision's network of this kind, behind any prefix."""
        return name

    def layer_precisions(self, assignment: Assignment) -> list[LayerPrecision]:
        """Return what each layer is run at: its own precision, and that of the one before it."""
        own = assignment.layers
        return [
            LayerPrecision(at, at if info.fed_by is None else own[info.fed_by])
            for at, info in zip(own, self.quantized_layers, strict=True)
        ]

    def compute_in(self, kernel: Kernel | None, dtype: torch.dtype = torch.float32) -> None:
        """Let quantized layers compute on codes with a kernel, or on values if there is none.

        dtype: of the backward passes of quantized convolutions, and of their forward passes on
        values. Batch norm, quantizers, the first convolution and the linear layer compute in the
        type of the parameters; networks of float64 always compute on values.
        """
        for module in self.convolutions():
            module.kernel, module.dtype = kernel, dtype
        for quantizer in self.activations():
            quantizer.in_codes = kernel is not None
        for head in self.modules():
            if isinstance(head, Head) and head.act is not None:
                head.act.in_codes = False

    def start_quantizers(self) -> None:
        """Initialize learned steps from the present weights, if those have values."""
        for module in self.modules():
            if isinstance(module, QuantizedConv2d | Head) and not module.weight.is_meta:
                module.start_quantizer()

    def restart_quantizers(self, *, keep: Collection[int]) -> None:
        """Initialize learned steps again, from the present weights, but not those that `keep` uses.

        keep: bit-widths of weights. The steps of the first and the last layer stay as well: these
        layers have the same bit-width at every operating point.
        """
        for layer in self.convolutions():
            layer.quantizer.start(layer.weight, keep)

    @contextmanager
    def starting_from_data(self) -> Iterator[None]:
        """Within, forward passes give initial values to quantizers that take them from data.

        Each precision takes them from the first pass that uses it, unless it has some; they are
        written in place. Passes are to be run without gradient.
        """
        waiting = [quantizer for quantizer in self.activations() if quantizer.waits_for_data]
        try:
            for quantizer in waiting:
                quantizer.starting = True
            yield
        finally:
            for quantizer in waiting:
                quantizer.starting = False

    def activations(self) -> Iterator[ActivationQuantizer]:
        """Yield the quantizers of activations."""
        return (module for module in self.modules() if isinstance(module, ActivationQuantizer))

    def convolutions(self) -> Iterator[QuantizedConv2d]:
        """Yield the convolutions that can be given a precision."""
        modules = dict(self.backbone.named_modules())
        for info in self.quantized_layers:
            layer = modules[info.name]
            assert isinstance(layer, QuantizedConv2d)
            yield layer

    def in_floats(self, points: Iterable[Point]) -> tuple[str, ...]:
        """Return the names of the quantized layers that no point lets compute in integers."""
        precisions = zip(*(self.assignment(point).layers for point in points), strict=True)
        layers = zip(self.quantized_layers, self.convolutions(), precisions, strict=True)
        return tuple(i.name for i, conv, own in layers if not any(map(conv.in_integers, own)))

    def weight_distance(self, teacher: Point, student: Point) -> Tensor:
        """Return sum over quantized layers of mean|W_teacher - W_student| (CoQuant Eq. 7).

        0-dim, float64, without gradient; computed once per version of the weights.
        """
        pairs = zip(self.assignment(teacher).layers, self.assignment(student).layers, strict=True)
        distances = [
            layer.weight_distance(high.weights, low.weights)
            for layer, (high, low) in zip(self.convolutions(), pairs, strict=True)
        ]
        return torch.stack(distances).sum()

    def clip_levels(self) -> dict[str, list[nn.Parameter]]:
        """The clip levels of each precision, by its label, in the order of the layers.

        Shared ones are called "shared"; a float network has none.
        """
        return self._learned(ClipLevels)

    def weight_steps(self) -> dict[str, list[nn.Parameter]]:
        """The learned steps of weights, by bit-width ("8bit") or "shared"."""
        return self._learned(LearnedSteps, StoredStep)

    def input_steps(self) -> dict[str, list[nn.Parameter]]:
        """The learned steps of activations, by the label of the precision or "shared"."""
        return self._learned(InputSteps)

    def _learned(self, *kinds: type[nn.ParameterDict]) -> dict[str, list[nn.Parameter]]:
        found: dict[str, list[nn.Parameter]] = {}
        for own in (module for module in self.modules() if isinstance(module, kinds)):
            for name, parameter in own.items():
                found.setdefault(name, []).append(parameter)
        return found

    def add(self, precision: Precision, source: Precision) -> None:
        """Let the network run at a precision that it was not built or not trained for.

        Batch norm, clip levels and learned steps start as those of `source`, to be calibrated or
        trained, also where some layer has its own; what precisions share stays shared. Raises
        ValueError for a source that the network lacks, that is the precision itself, or that has
        float activations unlike it, and for weights of more bits than the stored codes have.
        """
        unlike = precision.activations != FLOAT == source.activations
        code_bits = min(layer.quantizer.code_bits for layer in self.convolutions())
        too_many = code_bits < precision.weights != FLOAT
        if precision == source or source not in self.precisions or unlike or too_many:
            known = ", ".join(own.label for own in self.precisions)
            wanted = f"{precision.label} cannot be copied from {source.label}"
            raise ValueError(f"{wanted}: the network has {known}, and {code_bits}-bit codes")
        for module in list(self.modules()):
            if isinstance(module, Switched):
                module.begin(precision, source)
        both = dict.fromkeys((*self.precisions, precision))
        self.backbone._precisions = tuple(sorted(both, key=cost, reverse=True))

    @property
    def swappable_blocks(self) -> tuple[nn.Module, ...]:
        """Its swappable blocks, in the order in which they run."""
        return tuple(module for module in self.backbone.modules() if isinstance(module, Block))

    @contextmanager
    def block_outputs(self) -> Iterator[list[Tensor]]:
        """Within, each forward pass adds the outputs of its blocks, in their order, to a list."""
        outputs: list[Tensor] = []
        hooks = [
            block.register_forward_hook(lambda _, given, output: outputs.append(output))
            for block in self.swappable_blocks
        ]
        try:
            yield outputs
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def frozen_statistics(self, point: Point | None = None) -> Iterator[None]:
        """Within, forward passes leave running statistics alone, though they train as usual.

        Those are batch norm's, and the moving ranges of quantizers. point: only the switched sets
        that it uses; None freezes all, shared ones included.
        """
        with keep_statistics(self._running(point)):
            yield

    def _running(self, point: Point | None) -> list[nn.BatchNorm2d | MovingRange]:
        if point is None:
            return [m for m in self.modules() if isinstance(m, nn.BatchNorm2d | MovingRange)]
        assignment = self.assignment(point)
        used = {assignment.outside, *assignment.layers}
        kinds = SwitchableBatchNorm2d | MovingRanges
        switched = (m for m in self.modules() if isinstance(m, kinds))
        return [own for module in switched for own in module.sets_of(used)]


def list_layers(
    blocks: Iterable[tuple[str, nn.Module]], outside: Sequence[str] = ()
) -> tuple[LayerInfo, ...]:
    """Return the layers of blocks, by their prefix, and of convolutions that follow them all.

    The first layer of a block, and its shortcut, are fed by the last one of the block before.
    """
    layers: list[LayerInfo] = []
    fed_by: int | None = None
    for number, (prefix, block) in enumerate(blocks):
        entry = fed_by
        for name in block.main:  # type: ignore[union-attr]
            layers.append(LayerInfo(f"{prefix}.{name}", number, fed_by, _convolves(block, name)))
            fed_by = len(layers) - 1
        if block.shortcut_layer is not None:
            layers.append(LayerInfo(f"{prefix}.{block.shortcut_layer}", number, entry, "shortcut"))
    for name in outside:
        layers.append(LayerInfo(name, None, fed_by, "conv"))
        fed_by = len(layers) - 1
    return tuple(layers)


def _convolves(block: nn.Module, name: str) -> Literal["conv", "depthwise"]:
    layer = block.get_submodule(name)
    assert isinstance(layer, nn.Conv2d)
    return "depthwise" if layer.groups == layer.in_channels > 1 else "conv"
