"""One network whose layers run at any mix of precisions, trained in three stages (Bit-Mixer).

    stage 1    weights are float, activations at b bits, the same b in all layers
    stage 2    weights and activations at b bits
    stage 3    with probability sigma as in stage 2, else each layer at a precision of its own

Each step draws one b, or one precision for each layer: the loss is that of the drawn network,
CE(y) + w KL(softmax(y_teacher) || softmax(y)) with a frozen teacher. The chance of a mix rises as
1 - sigma(e) = min(k, 2 k e / E) over the first half of the E epochs of the phase (the paper has
E = 160).
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch.nn import functional as F

from models.layers.layout import Layout
from models.layers.norm import SwitchableBatchNorm2d, TransitionalBatchNorm2d
from models.methods.base import (
    Batch,
    Method,
    MethodSettings,
    Mistake,
    Pass,
    Step,
    WantedTeacher,
    listed,
)
from models.methods.teacher import distillation_loss
from models.mixed import MIXED, draw_assignment, generator_of
from models.networks.base import AnyBitNetwork
from models.precision import FLOAT, Assignment, OperatingPoint, Precision, cost


class BitMixerSettings(MethodSettings, frozen=True):
    """The settings of Bit-Mixer; the paper's symbol is in the description."""

    name: Literal["bitmixer"] = "bitmixer"
    stage: Literal[1, 2, 3] = Field(
        3, description="float weights; the same bit-width in all layers; any mix of bit-widths"
    )
    transitional: bool = Field(
        True,
        description="a set of batch norm for each pair of a layer's bit-width and that of the "
        "layer before it, or one for each bit-width alone",
    )
    mixing: float = Field(
        0.75, ge=0, le=1, alias="k", description="chance of a mix in the second half of stage 3 (k)"
    )
    offdiagonal_start: Literal["copy", "fresh"] = Field(
        "copy",
        description="batch norm of unequal pairs in stage 3: a copy of what the layer has after "
        "one of its own bit-width, or as it is",
    )
    teacher: Literal["none", "float", "stage1"] = Field(
        "none", description="none, a float model, or the network of stage 1"
    )
    teacher_weights: str | None = Field(
        None,
        description="of the teacher: what start.weights is for start.from: float, or checkpoint; "
        "stage1 without any is an earlier phase of the job",
        json_schema_extra={"names": "weights"},
    )
    distillation_weight: float = Field(
        1.0, ge=0, description="weight of what is learned from the teacher"
    )

    def without_effect(self, epochs: int) -> list[Mistake]:
        """Return what the stage, the layout, or the absence of a teacher disables."""
        off: list[Mistake] = []
        if self.teacher == "none":
            reason = "method.teacher is 'none'"
            off += [(f"method.{key}", reason) for key in ("teacher_weights", "distillation_weight")]
        if self.stage != 3:
            reason = f"method.stage is {self.stage}, and only stage 3 mixes bit-widths"
            off += [(f"method.{key}", reason) for key in ("k", "offdiagonal_start")]
        elif not self.transitional:
            reason = "without transitional batch norm there are no pairs"
            off.append(("method.offdiagonal_start", reason))
        if self.stage == 3 and epochs == 1:
            off.append(("method.k", "the first epoch mixes nothing, and there is no other"))
        return off


class BitMixer(Method):
    """A stage of Bit-Mixer; assignments among the points are evaluated and not trained."""

    Settings: ClassVar[type[BitMixerSettings]] = BitMixerSettings
    settings: BitMixerSettings

    @classmethod
    def mistakes(cls, settings: MethodSettings, points: Sequence[OperatingPoint]) -> list[Mistake]:
        """Return a mistake unless there are several bit-widths, of the kind of the stage."""
        assert isinstance(settings, BitMixerSettings)
        whole = [point for point in points if not point.layers]
        found = super().mistakes(settings, whole)
        is_float = [point.precision.weights == FLOAT for point in whole]
        if settings.stage == 1 and not all(is_float):
            wanted = "trains float weights, such as [w32a4, w32a3, w32a2]"
        elif settings.stage > 1 and any(is_float):
            wanted = "trains quantized weights, such as [4, 3, 2]"
        else:
            return found
        problem = f"stage {settings.stage} {wanted}; got {listed(whole)}."
        return [*found, ("quantizer.bit_widths", problem)]

    @classmethod
    def mistakes_after(
        cls, settings: MethodSettings, before: MethodSettings | None
    ) -> list[Mistake]:
        """Return a mistake for a stage that goes back or leaves out stage 2."""
        assert isinstance(settings, BitMixerSettings)
        if before is None and settings.stage == 3:
            problem = (
                "stage 3 mixes what stage 2 has trained; give phases of stages 1, 2 and 3, or "
                "start.from: checkpoint with a run of stage 2."
            )
            return [("method.stage", problem)]
        if not isinstance(before, BitMixerSettings):
            return []
        if before.stage <= settings.stage and (before.stage, settings.stage) != (1, 3):
            return []
        stages = f"stage {settings.stage} after stage {before.stage}"
        return [("method.stage", f"{stages}; each stage goes on from the one before: 1, 2, 3.")]

    @property
    def layout(self) -> Layout:
        """A set of batch norm for each pair of precisions, or for each precision."""
        return Layout(norm="transitional" if self.settings.transitional else "switchable")

    @property
    def passes(self) -> int:
        """One: the drawn network alone."""
        return 1

    @property
    def loss_names(self) -> tuple[str, ...]:
        """The bit-widths; in stage 3 also all mixes of them together."""
        own = tuple(point.name for point in self._whole)
        return (*own, MIXED) if self.settings.stage == 3 else own

    @property
    def wanted_teacher(self) -> WantedTeacher | None:
        """The float model, or the network of stage 1 at its highest activations."""
        match self.settings.teacher:
            case "float":
                precision, layout = Precision(FLOAT, FLOAT), Layout(norm="shared")
                return WantedTeacher("float", self.settings.teacher_weights, precision, layout)
            case "stage1":
                highest = max(self._precisions, key=cost).activations
                precision = Precision(FLOAT, highest)
                weights = self.settings.teacher_weights
                return WantedTeacher("checkpoint", weights, precision, self.layout)
        return None

    def start_phase(self, network: AnyBitNetwork) -> None:
        """Start stage 2 from stage 1, and unequal pairs of stage 3 from equal ones.

        Only what has not run yet is started, and only from what has.
        """
        if self.settings.stage == 2:
            self._quantize_weights(network)
        if self.settings.stage == 3 and self.settings.offdiagonal_start == "copy":
            for norm in network.modules():
                if isinstance(norm, TransitionalBatchNorm2d):
                    norm.start_unequal_pairs(self._precisions)

    def losses(
        self, network: AnyBitNetwork, batches: Sequence[Batch], step: Step
    ) -> Iterator[Pass]:
        """Yield the loss of each batch, all with the network that this step draws."""
        drawn = self.draw(len(network.quantized_layers), step)
        for batch in batches:
            yield self._pass(network, batch, drawn)

    def draw(self, layers: int, step: Step) -> "Drawn":
        """Draw how the network runs in a step, the same on all ranks and after a resume."""
        generator = generator_of(step.seed, step.index)
        chance = torch.rand((), generator=generator, dtype=torch.float64)
        share = mixed_share(self.settings.mixing, step.epoch, step.epochs)
        if self.settings.stage == 3 and chance < share:
            return Drawn(MIXED, draw_assignment(self._precisions, layers, generator))
        number = int(torch.randint(len(self._whole), (), generator=generator))
        return Drawn(self._whole[number].name, self._whole[number])

    @property
    def _whole(self) -> list[OperatingPoint]:
        """The points with one precision in all layers."""
        return [point for point in self.points if not point.layers]

    @property
    def _precisions(self) -> list[Precision]:
        return [point.precision for point in self._whole]

    def _pass(self, network: AnyBitNetwork, batch: Batch, drawn: "Drawn") -> Pass:
        logits = network(batch.inputs, drawn.at)
        loss = F.cross_entropy(logits, batch.labels)
        if self.teacher is not None:
            with torch.no_grad():
                target = self.teacher(batch.inputs, OperatingPoint.at(self.teacher.precisions[0]))
            loss = loss + self.settings.distillation_weight * distillation_loss(logits, target)
        return Pass(drawn.name, loss)

    def _quantize_weights(self, network: AnyBitNetwork) -> None:
        """Begin each precision with what stage 1 has at its activations, and steps with weights."""
        sources = {own: Precision(FLOAT, own.activations) for own in self._precisions}
        trained = [own for own in sources if _has_run(network, own)]
        begun = [own for own in sources if own not in trained and _has_run(network, sources[own])]
        for own in begun:
            network.add(own, sources[own])
        if begun:
            network.restart_quantizers(keep={own.weights for own in trained})


class Drawn(NamedTuple):
    """How the network runs in one step, and the name of its loss."""

    name: str
    at: OperatingPoint | Assignment


def mixed_share(k: float, epoch: int, epochs: int) -> float:
    """Return 1 - sigma, the chance of a mix in an epoch: from 0 to k over half of the epochs."""
    return min(k, k * epoch / (epochs / 2))


def _has_run(network: AnyBitNetwork, precision: Precision) -> bool:
    """Return whether batch norm of a precision has seen a batch."""
    switched = (m for m in network.modules() if isinstance(m, SwitchableBatchNorm2d))
    return any(norm.num_batches_tracked for m in switched for norm in m.sets_of([precision]))
