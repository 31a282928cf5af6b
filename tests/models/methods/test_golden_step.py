"""One whole CoQuant step of the golden vectors, through the classes that the jobs use."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models import build_network
from models.methods.base import Batch, Pass, Step
from models.methods.coquant import CoQuant, CoQuantSettings
from models.methods.teacher import choose_teacher, mean_entropy, teacher_scores
from models.networks.base import AnyBitNetwork
from models.networks.resnet_cifar import ResNet18CifarSettings
from models.precision import OperatingPoint
from models.quantizers.settings import QuantizerSettings
from tests.models.precisions import precisions

pytestmark = pytest.mark.golden
Golden = Callable[[str], dict[str, Any]]


def float64(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def stages(parameters: dict[str, Any]) -> list[list[str]]:
    """The golden blocks by stage: one that strides, by a `down` convolution, begins a stage."""
    names = list(dict.fromkeys(n.split(".")[0] for n in parameters if n.startswith("block")))
    found: list[list[str]] = [[]]
    for name in names:
        if f"{name}.down.weight" in parameters:
            found.append([])
        found[-1].append(name)
    return found


def our_names(parameters: dict[str, Any]) -> dict[str, str]:
    """The beginning of each golden name, and what it is called in our network."""
    names = {"stem_bn": "bn1", "stem": "conv1", "fc": "fc"}
    for stage, blocks in enumerate(stages(parameters), start=1):
        for index, block in enumerate(blocks):
            ours = f"layer{stage}.{index}"
            for part in ("conv1", "conv2", "bn1", "bn2"):
                names[f"{block}.{part}"] = f"{ours}.{part}"
            for clip in (1, 2):
                names[f"{block}.clip{clip}"] = f"{ours}.act{clip}.clip_levels"
            names[f"{block}.down_bn"] = f"{ours}.downsample.1"
            names[f"{block}.down"] = f"{ours}.downsample.0"
    return names


def renamed(golden_name: str, names: dict[str, str]) -> str:
    for theirs, ours in names.items():
        if golden_name == theirs or golden_name.startswith(f"{theirs}."):
            name = ours + golden_name[len(theirs) :]
            return re.sub(r"(bn\d|downsample\.1|clip_levels)\.(\d)\b", r"\1.\2bit", name)
    raise AssertionError(golden_name)


def build(case: dict[str, Any], bit_widths: Sequence[int]) -> AnyBitNetwork:
    """The golden network, made of the blocks that ResNet18Cifar is made of."""
    parameters = case["parameters"]
    blocks = stages(parameters)
    settings = ResNet18CifarSettings(
        widths=tuple(len(parameters[f"{stage[0]}.conv1.weight"]) for stage in blocks),
        depths=tuple(len(stage) for stage in blocks),
    )
    network = build_network(
        settings,
        QuantizerSettings(bit_widths=tuple(bit_widths)),
        precisions=precisions(*bit_widths),
        num_classes=len(parameters["fc.bias"]),
    ).double()
    names = our_names(parameters)
    ours = {renamed(name, names): float64(value) for name, value in parameters.items()}
    assert ours.keys() == dict(network.named_parameters()).keys()
    network.load_state_dict(ours, strict=False)
    return network


class GivenMasks:
    """The golden masks, in place of drawn ones."""

    def __init__(self, per_bit: dict[str, Any]) -> None:
        self.per_bit = per_bit

    def __call__(
        self, step: Step, student: OperatingPoint, probabilities: Sequence[float]
    ) -> Sequence[bool]:
        masks: list[bool] = self.per_bit[str(student.precision.weights)]["student_blocks"]
        assert len(masks) == len(probabilities)
        return masks


class Recorded:
    """What one step did: the losses and the logits of each bit-width."""

    def __init__(self, case: dict[str, Any], bit_widths: Sequence[int], step: Step) -> None:
        self.network = build(case, bit_widths)
        self.network.train()
        self.distance = {
            (teacher, student): self.network.weight_distance(teacher, student).item()
            for teacher in bit_widths
            for student in bit_widths
        }
        settings = CoQuantSettings(distance_weight=case["lambda"])
        points = [OperatingPoint.at(bits) for bits in bit_widths]
        method = CoQuant(settings, points, draw_masks=GivenMasks(case["per_bit"]))
        outputs: list[Tensor] = []
        handle = self.network.register_forward_hook(
            lambda module, args, output: outputs.append(output.detach())
        )
        self.losses: dict[int, Pass] = {}
        batch = Batch(float64(case["input"]), torch.tensor(case["labels"]))
        for loss in method.losses(self.network, [batch], step):
            loss.loss.backward()
            self.losses[int(loss.point.removesuffix("bit"))] = loss
        handle.remove()
        self.logits = dict(zip(self.losses, outputs, strict=True))


@pytest.fixture
def steps(
    golden: Golden, make_step: Callable[..., Step]
) -> list[tuple[dict[str, Any], Recorded, float]]:
    data = golden("step")
    return [
        (case, Recorded(case, data["bits"], make_step()), data["abs"]) for case in data["cases"]
    ]


Steps = list[tuple[dict[str, Any], Recorded, float]]


def test_logits_losses_and_teachers_are_the_golden_ones(steps: Steps) -> None:
    for case, recorded, tolerance in steps:
        assert [str(bits) for bits in recorded.losses] == list(case["per_bit"])
        for bits, loss in recorded.losses.items():
            expected = case["per_bit"][str(bits)]
            near(recorded.logits[bits], expected["logits"], tolerance)
            total = expected["cross_entropy"] + expected.get("kl", 0.0)
            assert loss.loss.item() == pytest.approx(total, abs=tolerance)
            teacher = expected.get("teacher")
            assert loss.teacher == (None if teacher is None else f"{teacher}bit")


def test_entropies_distances_and_scores_are_the_golden_ones(
    steps: Steps, make_step: Callable[..., Step]
) -> None:
    for case, recorded, tolerance in steps:
        for student, expected in case["per_bit"].items():
            if "teacher" not in expected:
                continue
            teachers = [int(teacher) for teacher in expected["score"]]
            entropy = {
                b: mean_entropy([recorded.logits[b]], make_step().sum_over_ranks) for b in teachers
            }
            distance = {b: recorded.distance[b, int(student)] for b in teachers}
            scores = teacher_scores(entropy, distance, case["lambda"])
            for name, actual in (("entropy", entropy), ("distance", distance), ("score", scores)):
                wanted = {int(bits): value for bits, value in expected[name].items()}
                assert actual == pytest.approx(wanted, abs=tolerance)
            assert choose_teacher(scores) == expected["teacher"]


def test_gradients_are_the_golden_ones_and_absent_where_they_are(steps: Steps) -> None:
    for case, recorded, tolerance in steps:
        names = our_names(case["parameters"])
        ours = dict(recorded.network.named_parameters())
        assert len(case["gradients"]) == len(ours)
        for name, expected in case["gradients"].items():
            gradient = ours[renamed(name, names)].grad
            if expected is None:
                assert gradient is None, name
            else:
                near(gradient, expected, tolerance)


def test_running_statistics_and_their_updates_are_the_golden_ones(steps: Steps) -> None:
    for case, recorded, tolerance in steps:
        names = our_names(case["parameters"])
        norms = {
            name: module
            for name, module in recorded.network.named_modules()
            if isinstance(module, nn.BatchNorm2d)
        }
        untouched = norms.keys() - {renamed(name, names) for name in case["running"]}
        assert all(norms[name].num_batches_tracked == 0 for name in untouched)
        for name, expected in case["running"].items():
            norm = norms[renamed(name, names)]
            near(norm.running_mean, expected["mean"], tolerance)
            near(norm.running_var, expected["var"], tolerance)
            assert norm.num_batches_tracked == expected["updates"]


def near(actual: Tensor | None, expected: Any, tolerance: float) -> None:
    assert actual is not None
    torch.testing.assert_close(actual, float64(expected), rtol=0, atol=tolerance)
