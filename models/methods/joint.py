"""All operating points at once, none taught by another: the baselines of CoQuant's tables.

    L_b = CE(y_b)

They differ in what the points share besides the weights (CoQuant Table 1): `joint` ("Joint
Training") has one set of batch norm and one clip level for all, `switchable_bn` ("Switchable BN") a
set of batch norm for each precision, `adabits` ("AdaBits": Jin et al., CVPR 2020, with
CoQuant's quantizers) a clip level for each as well.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from torch.nn import functional as F

from models.layers.layout import Layout
from models.methods.base import Batch, Method, MethodSettings, Pass, Step
from models.networks.base import AnyBitNetwork


class JointSettings(MethodSettings, frozen=True):
    """Batch norm and clip levels are shared."""

    name: Literal["joint"] = "joint"


class SwitchableBNSettings(MethodSettings, frozen=True):
    """Batch norm is switched, clip levels are shared."""

    name: Literal["switchable_bn"] = "switchable_bn"


class AdaBitsSettings(MethodSettings, frozen=True):
    """Batch norm and clip levels are switched."""

    name: Literal["adabits"] = "adabits"


class Joint(Method):
    """Cross-entropy at every point; everything but the bits is shared."""

    Settings: ClassVar[type[MethodSettings]] = JointSettings

    @property
    def layout(self) -> Layout:
        """One set of batch norm and one clip level of each quantizer."""
        return Layout(norm="shared", clip="shared")

    def losses(
        self, network: AnyBitNetwork, batches: Sequence[Batch], step: Step
    ) -> Iterator[Pass]:
        """Yield the loss of each batch at each point, high to low."""
        for point in self.points:
            for inputs, labels in batches:
                yield Pass(point.name, F.cross_entropy(network(inputs, point), labels))


class SwitchableBN(Joint):
    """The same loss; each precision has its own batch norm."""

    Settings: ClassVar[type[MethodSettings]] = SwitchableBNSettings

    @property
    def layout(self) -> Layout:
        """A set of batch norm for each precision, one clip level of each quantizer."""
        return Layout(norm="switchable", clip="shared")


class AdaBits(Joint):
    """The same loss; each precision has its own batch norm and clip levels."""

    Settings: ClassVar[type[MethodSettings]] = AdaBitsSettings

    @property
    def layout(self) -> Layout:
        """A set of batch norm and a clip level of each quantizer for each precision."""
        return Layout(norm="switchable", clip="switchable")
