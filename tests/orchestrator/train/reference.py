"""CoQuant's training written a second time: float64, plain autograd, all ranks in one loop.

No layer, quantizer, method or loop of the product is used here, so that a mistake there cannot
hide by being made twice. Equations are those of the CoQuant paper.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from orchestrator.job.schema import Job

EPS, NORM_MOMENTUM = 1e-5, 0.1
BLOCKS = (("layer1.0", 1), ("layer2.0", 2), ("layer2.1", 1))
"""Name and stride of the residual blocks of the CIFAR ResNet with depths (1, 2)."""

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Recipe:
    """What is to be trained, and how."""

    bits: tuple[int, ...]
    seed: int
    epochs: int
    steps_per_epoch: int
    p1: float
    p1_update: str
    distance_weight: float
    lr: float
    clip_lr: float
    momentum: float
    weight_decay: float
    clip_weight_decay: float
    schedule: str
    milestones: tuple[int, ...]
    gamma: float
    mean: Color
    std: Color


def recipe_of(job: Job, steps: int, mean: Color, std: Color) -> Recipe:
    """What the job says, for the reference."""
    return Recipe(
        bits=tuple(point.precision.weights for point in job.points),
        seed=job.seed,
        epochs=job.training.epochs,
        steps_per_epoch=steps,
        p1=job.method.swap_probability,
        p1_update=job.method.p1_update,
        distance_weight=job.method.distance_weight,
        lr=job.optimizer.lr,
        clip_lr=job.optimizer.clip.lr,
        momentum=job.optimizer.momentum,
        weight_decay=job.optimizer.weight_decay,
        clip_weight_decay=job.optimizer.clip.weight_decay,
        schedule=job.optimizer.schedule,
        milestones=job.optimizer.milestones,
        gamma=job.optimizer.gamma,
        mean=mean,
        std=std,
    )


Given = tuple[Tensor, Tensor]
"""The inputs (uint8) and labels of one pass of one rank."""
Batches = Sequence[Sequence[Given]]
"""By rank and pass."""
Logits = dict[int, list[list[Tensor]]]
"""By bit-width, what each rank put out in each pass."""


@dataclass
class StepRecord:
    """What one optimizer step did.

    gradients: the mean over ranks, None for a parameter that nobody used.
    losses: by rank, bit-width and pass. teachers: by student. swapped: blocks of any student that
    ran as its teacher's. lonely: the teachers by what each rank put out in each pass alone.
    """

    gradients: dict[str, Tensor | None] = field(default_factory=dict)
    losses: list[dict[int, list[float]]] = field(default_factory=list)
    teachers: dict[int, int] = field(default_factory=dict)
    lonely: dict[int, list[list[int]]] = field(default_factory=dict)
    swapped: int = 0


class Reference:
    """The parameters of a run, each rank's running statistics, and the optimizer's velocities."""

    def __init__(self, recipe: Recipe, state: Mapping[str, Tensor], world: int) -> None:
        self.recipe = recipe
        running = (".running_mean", ".running_var")
        self.parameters = {
            name: value.detach().double().clone().requires_grad_()
            for name, value in state.items()
            if not name.endswith(
                (*running, ".num_batches_tracked", "normalize.mean", "normalize.std")
            )
        }
        self.statistics = [
            {name: v.double().clone() for name, v in state.items() if name.endswith(running)}
            for _ in range(world)
        ]
        self.velocity: dict[str, Tensor] = {}

    # --- one step -----------------------------------------------------------------------------

    def step(self, epoch: int, index: int, batches: Batches) -> StepRecord:
        """Train one step of an epoch."""
        record = StepRecord(losses=[{} for _ in batches])
        logits: Logits = {}
        for bits in self.recipe.bits:
            self._bit_width((epoch, index), bits, batches, logits, record)
        record.gradients = dict.fromkeys(self.parameters) | record.gradients
        self._update(epoch, record.gradients)
        return record

    def _bit_width(
        self, at: tuple[int, int], bits: int, batches: Batches, logits: Logits, record: StepRecord
    ) -> None:
        """All passes of all ranks at a bit-width, whose teacher is chosen once."""
        target, blocks = None, [bits] * len(BLOCKS)
        if logits:
            everything = {b: [y for own in ranks for y in own] for b, ranks in logits.items()}
            teacher = record.teachers[bits] = self._teacher(bits, everything)
            record.lonely[bits] = [
                [self._teacher(bits, {b: [y[rank][i]] for b, y in logits.items()}) for i in passes]
                for rank, passes in enumerate(map(range, map(len, batches)))
            ]
            masks = self._masks(*at, bits)
            record.swapped += masks.count(False)
            blocks = [bits if mine else teacher for mine in masks]
            target = logits[teacher]
        logits[bits] = [[] for _ in batches]
        for rank, own in enumerate(batches):
            record.losses[rank][bits] = []
            for number, (images, labels) in enumerate(own):
                x = self.normalized(images)
                y = self.network(x, bits, blocks, self.statistics[rank], train=True)
                loss = _cross_entropy(y, labels)
                if target is not None:
                    loss = loss + _divergence(target[rank][number], y)
                self._add(record, loss / len(own) / len(batches))
                record.losses[rank][bits].append(loss.item())
                logits[bits][rank].append(y.detach())

    def _add(self, record: StepRecord, loss: Tensor) -> None:
        found = torch.autograd.grad(loss, list(self.parameters.values()), allow_unused=True)
        for name, gradient in zip(self.parameters, found, strict=True):
            if gradient is not None:
                before = record.gradients.get(name)
                record.gradients[name] = gradient if before is None else before + gradient

    def _update(self, epoch: int, gradients: Mapping[str, Tensor | None]) -> None:
        """SGD with momentum; what nobody used stays as it is."""
        r, factor = self.recipe, self.schedule(epoch)
        for name, gradient in gradients.items():
            if gradient is None:
                continue
            rate, decay = r.lr, r.weight_decay
            if "clip_levels" in name:
                rate, decay = r.clip_lr, r.clip_weight_decay
            elif "bn" not in name and "downsample.1" not in name:
                rate = r.lr / len(r.bits)
            value = self.parameters[name]
            pull = gradient + decay * value.detach()
            self.velocity[name] = r.momentum * self.velocity.get(name, 0.0) + pull
            with torch.no_grad():
                value -= rate * factor * self.velocity[name]

    def schedule(self, epoch: int) -> float:
        """The factor of all learning rates in an epoch."""
        if self.recipe.schedule == "multistep":
            return self.recipe.gamma ** len([m for m in self.recipe.milestones if m <= epoch])
        return (1 + math.cos(math.pi * epoch / self.recipe.epochs)) / 2

    # --- teachers and swaps -------------------------------------------------------------------

    def _teacher(self, student: int, logits: Mapping[int, Sequence[Tensor]]) -> int:
        """The smallest entropy + lambda distance; of equal ones the lower bit-width (Eq. 7)."""
        scores = {
            b: _entropy(torch.cat(list(y))) + self.recipe.distance_weight * self._gap(b, student)
            for b, y in logits.items()
        }
        return min(scores, key=lambda b: (scores[b], b))

    def _gap(self, teacher: int, student: int) -> float:
        """Summed over the quantized convolutions, shortcuts included (Eq. 7)."""
        quantized = [
            value.detach()
            for name, value in self.parameters.items()
            if name.startswith("layer") and value.dim() == 4
        ]
        return sum(
            (self.weight(w, teacher) - self.weight(w, student)).abs().mean().item()
            for w in quantized
        )

    def _masks(self, epoch: int, index: int, student: int) -> list[bool]:
        """Which blocks are the student's own, from the key of the step (Eq. 8-9)."""
        r = self.recipe
        key = (r.seed, epoch * r.steps_per_epoch + index, student, 0)
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        drawn = torch.rand(
            len(BLOCKS), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
        p1 = 1.0
        if epoch < r.epochs - 1:
            done = epoch if r.p1_update == "epoch" else epoch + index / r.steps_per_epoch
            p1 = r.p1 + (1 - r.p1) * min(1.0, done / (r.epochs - 1))
        return [
            x < min(1.0, (1 + block / len(BLOCKS)) * p1) for block, x in enumerate(drawn.tolist())
        ]

    # --- the network --------------------------------------------------------------------------

    def normalized(self, images: Tensor) -> Tensor:
        """Pixels in [0, 1], less the mean, over the deviation."""
        mean, std = (
            torch.tensor(values, dtype=torch.float64).view(3, 1, 1)
            for values in (self.recipe.mean, self.recipe.std)
        )
        return (images.double() / 255 - mean) / std

    def network(
        self,
        inputs: Tensor,
        bits: int,
        blocks: Sequence[int],
        statistics: dict[str, Tensor],
        *,
        train: bool,
    ) -> Tensor:
        """Logits; `blocks` are the bit-widths of the residual blocks."""
        p = self.parameters
        x = F.conv2d(inputs, p["conv1.weight"], padding=1)
        x = F.relu(self._norm(x, "bn1", statistics, train=train))
        for (name, stride), at in zip(BLOCKS, blocks, strict=True):
            x = self._block(x, name, stride, at, statistics, train=train)
        return x.mean(dim=(2, 3)) @ p["fc.weight"].T + p["fc.bias"]

    def _block(
        self,
        x: Tensor,
        name: str,
        stride: int,
        bits: int,
        statistics: dict[str, Tensor],
        *,
        train: bool,
    ) -> Tensor:
        def conv(inputs: Tensor, layer: str, norm: str, step: int, padding: int) -> Tensor:
            weight = self.weight(self.parameters[f"{name}.{layer}.weight"], bits)
            y = F.conv2d(inputs, weight, stride=step, padding=padding)
            return self._norm(y, f"{name}.{norm}.{bits}bit", statistics, train=train)

        shortcut = x = self._clipped(x, f"{name}.act1", bits)
        if f"{name}.downsample.0.weight" in self.parameters:
            shortcut = conv(x, "downsample.0", "downsample.1", stride, 0)
        inner = F.relu(conv(x, "conv1", "bn1", stride, 1))
        inner = self._clipped(inner, f"{name}.act2", bits)
        return F.relu(conv(inner, "conv2", "bn2", 1, 1) + shortcut)

    def weight(self, weight: Tensor, bits: int) -> Tensor:
        """Truncated and aligned weights, the gradient straight through to x (Eq. 3-5)."""
        top, dropped = 2 ** self.recipe.bits[0] - 1, 2 ** (self.recipe.bits[0] - bits)
        tanh = weight.tanh()
        x = tanh / (2 * tanh.abs().max()) + 0.5
        code = (top * x).round()
        kept = (code / dropped).floor() * dropped / top
        aligned = kept * ((code / top).mean() / kept.mean())
        return _replaced(2 * x, 2 * aligned - 1)

    def _clipped(self, x: Tensor, name: str, bits: int) -> Tensor:
        """PACT: the gradient reaches x inside [0, alpha], and alpha from alpha on."""
        alpha, top = self.parameters[f"{name}.clip_levels.{bits}bit"], 2**bits - 1
        clipped = torch.minimum(x.clamp(min=0), alpha)
        inside, above = (x >= 0) & (x <= alpha), x >= alpha
        return _replaced(inside * x + above * alpha, alpha * (top * clipped / alpha).round() / top)

    def _norm(self, x: Tensor, name: str, statistics: dict[str, Tensor], *, train: bool) -> Tensor:
        mean, var = statistics[f"{name}.running_mean"], statistics[f"{name}.running_var"]
        if train:
            count = x.numel() / x.shape[1]
            mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), unbiased=False)
            seen = {"mean": mean.detach(), "var": var.detach() * count / (count - 1)}
            for which, value in seen.items():
                old = statistics[f"{name}.running_{which}"]
                statistics[f"{name}.running_{which}"] = old + NORM_MOMENTUM * (value - old)
        scale = self.parameters[f"{name}.weight"] / (var + EPS).sqrt()
        shift = self.parameters[f"{name}.bias"] - mean * scale
        return x * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)

    # --- evaluation ---------------------------------------------------------------------------

    def share_statistics(self) -> None:
        """Give every rank the mean of all ranks' running statistics, as before an evaluation."""
        for name in self.statistics[0]:
            mean = torch.stack([own[name] for own in self.statistics]).mean(dim=0)
            for own in self.statistics:
                own[name] = mean.clone()

    def evaluate(self, samples: Iterable[Given], bits: int) -> tuple[float, float]:
        """Top-1 in percent and mean cross-entropy over samples, one after another."""
        right, losses = [], []
        with torch.no_grad():
            for image, label in samples:
                blocks = [bits] * len(BLOCKS)
                x = self.normalized(image[None])
                y = self.network(x, bits, blocks, self.statistics[0], train=False)
                right.append(int(y[0].argmax()) == int(label))
                losses.append(_cross_entropy(y, label.view(1)).item())
        return 100 * sum(right) / len(right), sum(losses) / len(losses)


def _replaced(differentiable: Tensor, values: Tensor) -> Tensor:
    """The values, with the gradient of the other tensor."""
    return values.detach() + (differentiable - differentiable.detach())


def _log_softmax(logits: Tensor) -> Tensor:
    return logits - logits.logsumexp(dim=1, keepdim=True)


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return -_log_softmax(logits)[torch.arange(len(labels)), labels].mean()


def _divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """KL(teacher || student), summed over classes, averaged over the batch (Eq. 11)."""
    p, q = _log_softmax(teacher), _log_softmax(student)
    return (p.exp() * (p - q)).sum(dim=1).mean()


def _entropy(logits: Tensor) -> float:
    p = _log_softmax(logits)
    return -(p.exp() * p).sum(dim=1).mean().item()


def near(found: Tensor | None, wanted: Tensor, what: str) -> None:
    assert found is not None
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9, msg=lambda said: f"{what}: {said}")
