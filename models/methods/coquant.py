"""All operating points at once, each taught by a higher one whose blocks it borrows (CoQuant).

    L_b1 = CE(y_b1)        L_b = CE(y_b) + KL(softmax(y_t) || softmax(y_b))      (Eq. 10, 11)

y_b is the output of a forward pass in which some blocks run as the teacher t's. The rows of the
paper's Table 8 are settings: "w/o Swap" is `p1: 1`, "w/o DL" `distillation: none`, "w/ IFD" `p1: 1`
with `distillation: features`, the others each a `teacher_mode`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from models.methods.base import Batch, Method, MethodSettings, Mistake, Pass, Step
from models.methods.swap import (
    SwapUnit,
    draw_masks,
    keyed_generator,
    own_probabilities,
    ramp,
    swap_units,
    swapped_assignment,
)
from models.methods.teacher import (
    choose_teacher,
    distillation_loss,
    ensemble_loss,
    feature_loss,
    mean_entropy,
    teacher_scores,
)
from models.networks.base import AnyBitNetwork
from models.precision import Assignment, OperatingPoint

Outputs = dict[OperatingPoint, list[Tensor]]
"""The logits of each point that has run in a step, batch by batch."""
_OF_SWAPS = ("swap_unit", "swap_updates_bn_stats", "p1_update")
DrawMasks = Callable[[Step, OperatingPoint, Sequence[float]], Sequence[bool]]


class CoQuantSettings(MethodSettings, frozen=True):
    """The settings of CoQuant; the paper's symbols are in the descriptions."""

    name: Literal["coquant"] = "coquant"
    distance_weight: float = Field(
        1e-3, ge=0, alias="lambda", description="weight of model distance in Eq. 7 (lambda)"
    )
    swap_probability: float = Field(
        0.7,
        ge=0,
        le=1,
        alias="p1",
        description="chance that the first block is the student's own, in the first epoch (p1); "
        "1: nothing is swapped",
    )
    teacher_mode: Literal["dynamic", "highest", "recursive", "random", "average", "learned"] = (
        Field(
            "dynamic",
            description="by Eq. 7, the highest, the next higher, or any higher bit-width; or all "
            "higher ones, their predictions averaged with equal or with learned shares",
        )
    )
    teacher_logits: Literal["reuse", "clean"] = Field(
        "reuse",
        description="the teacher's output of this step, or that of an extra pass without swaps",
    )
    distillation: Literal["logits", "none", "features"] = Field(
        "logits",
        description="what a student learns from its teacher: its output, nothing, or its output "
        "and those of its blocks, for which the teacher runs once more, without swaps",
    )
    ifd_weight: float = Field(
        1.0, ge=0, description="weight of the distance between the outputs of blocks"
    )
    ensemble_swap: bool = Field(
        False,
        description="with several teachers: swap blocks for those of the one that Eq. 7 chooses, "
        "instead of none",
    )
    swap_unit: SwapUnit = Field("block", description="what is swapped")
    swap_updates_bn_stats: bool = Field(
        True, description="swapped-in blocks update the teacher's running statistics"
    )
    p1_update: Literal["epoch", "iteration"] = Field(
        "epoch", description="when p1 rises on its way to 1 in the last epoch"
    )

    @property
    def is_ensemble(self) -> bool:
        """Whether all higher points teach together."""
        return self.teacher_mode in ("average", "learned")

    def without_effect(self, epochs: int) -> list[Mistake]:
        """Return what the choice of teachers disables, and what a training without swaps does."""
        mode = f"method.teacher_mode is '{self.teacher_mode}'"
        learned = f"method.distillation is '{self.distillation}'"
        idle, keys = self._idle_swaps(epochs, mode)
        reasons = dict.fromkeys(keys, idle)
        if not self.is_ensemble:
            reasons["ensemble_swap"] = mode
        if self.teacher_mode != "dynamic" and (idle or not self.is_ensemble):
            reasons["lambda"] = mode
        if self.teacher_mode == "highest":
            reasons["teacher_logits"] = f"{mode}, whose output is always without swaps"
        if self.distillation != "features":
            reasons["ifd_weight"] = learned
        if self.distillation == "none":
            reasons["teacher_logits"] = learned
        if self.distillation == "none" and idle:
            reasons |= dict.fromkeys(("lambda", "teacher_mode"), f"{learned}, and {idle}")
        return [(f"method.{key}", reason) for key, reason in reasons.items()]

    def _idle_swaps(self, epochs: int, mode: str) -> tuple[str, tuple[str, ...]]:
        """Return why nothing is swapped, if so, and the settings that this disables."""
        if epochs == 1:
            reason = "the last epoch swaps nothing, and there is no other"
            return reason, ("p1", "ensemble_swap", *_OF_SWAPS)
        if self.swap_probability == 1:
            return "method.p1 is 1, so nothing is swapped", ("ensemble_swap", *_OF_SWAPS)
        if self.is_ensemble and not self.ensemble_swap:
            reason = f"{mode}, and without method.ensemble_swap nothing is swapped"
            return reason, ("p1", *_OF_SWAPS)
        return "", ()


class CoQuant(Method):
    """Collaborative knowledge transfer between the operating points of one network.

    draw_masks: which units are the student's own, from (step, student, probabilities).
    shares: of each student, with learned ones, the logits of its teachers' shares, (teachers,).
    """

    Settings: ClassVar[type[CoQuantSettings]] = CoQuantSettings
    settings: CoQuantSettings

    def __init__(
        self,
        settings: CoQuantSettings,
        points: Sequence[OperatingPoint],
        *,
        draw_masks: DrawMasks = draw_masks,
    ) -> None:
        super().__init__(settings, points)
        self._draw_masks = draw_masks
        students = range(1, len(points)) if settings.teacher_mode == "learned" else ()
        self.shares = nn.ParameterList(torch.zeros(teachers) for teachers in students)

    @classmethod
    def mistakes(cls, settings: MethodSettings, points: Sequence[OperatingPoint]) -> list[Mistake]:
        """Return a mistake for fewer than two points, and for what several teachers cannot give."""
        assert isinstance(settings, CoQuantSettings)
        found = super().mistakes(settings, points)
        if settings.is_ensemble and settings.distillation != "logits":
            problem = (
                f"method.teacher_mode '{settings.teacher_mode}' mixes the outputs of several "
                f"teachers, so expected is 'logits', got '{settings.distillation}'; other modes "
                "choose one teacher."
            )
            found.append(("method.distillation", problem))
        return found

    def losses(
        self, network: AnyBitNetwork, batches: Sequence[Batch], step: Step
    ) -> Iterator[Pass]:
        """Yield the losses of each operating point, high to low."""
        highest, *students = self.points
        outputs: Outputs = {highest: []}
        entropy: dict[OperatingPoint, Tensor] = {}
        # Each loss is built in a call so that no local of this frame outlives the yield.
        for batch in batches:
            yield self._alone(network, batch, highest, outputs)
        for student in students:
            lesson = self._lesson(network, step, student, outputs, entropy)
            outputs[student] = []
            for batch in batches:
                yield self._taught(network, batch, lesson, outputs)

    def _alone(
        self, network: AnyBitNetwork, batch: Batch, point: OperatingPoint, outputs: Outputs
    ) -> Pass:
        logits = network(batch.inputs, point)
        outputs[point].append(logits.detach())
        return Pass(point.name, F.cross_entropy(logits, batch.labels))

    def _taught(
        self, network: AnyBitNetwork, batch: Batch, lesson: "_Lesson", outputs: Outputs
    ) -> Pass:
        targets = self._targets(network, batch, lesson, outputs)
        given = self._student_outputs(network, batch, lesson)
        outputs[lesson.student].append(given.logits.detach())
        loss = F.cross_entropy(given.logits, batch.labels)
        if targets:
            loss = loss + self._distillation(given, targets)
        teacher = None if self.settings.is_ensemble else lesson.teachers[0].name
        return Pass(lesson.student.name, loss, teacher)

    def _lesson(
        self,
        network: AnyBitNetwork,
        step: Step,
        student: OperatingPoint,
        outputs: Outputs,
        entropy: dict[OperatingPoint, Tensor],
    ) -> "_Lesson":
        """Choose the teachers of a student, and its blocks that are swapped."""
        together = tuple(outputs) if self.settings.is_ensemble else None
        if together and not self.settings.ensemble_swap:
            return _Lesson(student, together, network.assignment(student), None)
        chosen = self._teacher(network, step, student, outputs, entropy)
        swapped = self._swapped(network, step, student, chosen)
        return _Lesson(student, together or (chosen,), swapped, chosen)

    def _teacher(
        self,
        network: AnyBitNetwork,
        step: Step,
        student: OperatingPoint,
        outputs: Outputs,
        entropy: dict[OperatingPoint, Tensor],
    ) -> OperatingPoint:
        """Choose among the points that have run, the same one on every rank."""
        candidates = list(outputs)
        match self.settings.teacher_mode:
            case "highest":
                return candidates[0]
            case "recursive":
                return candidates[-1]
            case "random":
                generator = keyed_generator(step, student, stream=1)
                return candidates[int(torch.randint(len(candidates), (), generator=generator))]
        for point in candidates:
            if point not in entropy:
                entropy[point] = mean_entropy(outputs[point], step.sum_over_ranks)
        distance = [network.weight_distance(point, student) for point in candidates]
        # Everything is fetched at once: each read of a value waits for the device.
        both = torch.stack([torch.stack(list(entropy.values())), torch.stack(distance)])
        entropies, distances = (dict(zip(candidates, row, strict=True)) for row in both.tolist())
        return choose_teacher(teacher_scores(entropies, distances, self.settings.distance_weight))

    def _swapped(
        self, network: AnyBitNetwork, step: Step, student: OperatingPoint, teacher: OperatingPoint
    ) -> Assignment:
        """Swap some of the student's blocks for the teacher's."""
        units = swap_units(network.quantized_layers, self.settings.swap_unit)
        num_units = len({unit for unit in units if unit is not None})
        p1 = ramp(self.settings.swap_probability, step, self.settings.p1_update)
        own = self._draw_masks(step, student, own_probabilities(p1, num_units))
        low, high = network.assignment(student), network.assignment(teacher)
        return swapped_assignment(low, high, units, own)

    def _targets(
        self, network: AnyBitNetwork, batch: Batch, lesson: "_Lesson", outputs: Outputs
    ) -> "list[_Given]":
        """Return what the student learns from each teacher, if it learns from them."""
        if self.settings.distillation == "none":
            return []
        number = len(outputs[lesson.student])
        return [self._target(network, batch, one, outputs[one][number]) for one in lesson.teachers]

    def _target(
        self, network: AnyBitNetwork, batch: Batch, teacher: OperatingPoint, output: Tensor
    ) -> "_Given":
        """Return what a teacher gives; the highest point's own output was without swaps."""
        reused = self.settings.teacher_logits == "reuse" or teacher == self.points[0]
        if reused and self.settings.distillation != "features":
            return _Given(output, [])
        with torch.no_grad(), network.frozen_statistics():
            pure = self._run(network, batch, network.assignment(teacher))
        return _Given(output, pure.blocks) if reused else pure

    def _student_outputs(self, network: AnyBitNetwork, batch: Batch, lesson: "_Lesson") -> "_Given":
        """Run the student with some of its blocks swapped for the teacher's."""
        with ExitStack() as frozen:
            if lesson.lender and not self.settings.swap_updates_bn_stats:
                frozen.enter_context(network.frozen_statistics(lesson.lender))
            return self._run(network, batch, lesson.assignment)

    def _run(self, network: AnyBitNetwork, batch: Batch, assignment: Assignment) -> "_Given":
        if self.settings.distillation != "features":
            return _Given(network(batch.inputs, assignment), [])
        with network.block_outputs() as blocks:
            return _Given(network(batch.inputs, assignment), blocks)

    def _distillation(self, own: "_Given", targets: "Sequence[_Given]") -> Tensor:
        """Return how far a student is from its teachers."""
        if self.settings.is_ensemble:
            count = len(targets)
            shares = self.shares[count - 1] if self.shares else own.logits.new_zeros(count)
            return ensemble_loss(own.logits, [target.logits for target in targets], shares)
        (target,) = targets
        loss = distillation_loss(own.logits, target.logits)
        if self.settings.distillation == "features":
            loss = loss + self.settings.ifd_weight * feature_loss(own.blocks, target.blocks)
        return loss


class _Given(NamedTuple):
    """What a pass gives: logits (batch, classes), and blocks' outputs if they are compared."""

    logits: Tensor
    blocks: list[Tensor]


class _Lesson(NamedTuple):
    """How a student runs and learns in one step.

    lender: whose blocks are swapped in, None if nobody's are.
    """

    student: OperatingPoint
    teachers: tuple[OperatingPoint, ...]
    assignment: Assignment
    lender: OperatingPoint | None
