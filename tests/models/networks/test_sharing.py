"""A step whose passes share what they can, against the same step in which each does everything."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.kernels import FloatKernel
from models.layers.layout import Layout
from models.methods import METHODS
from models.methods.base import Batch, Method, Step
from models.methods.coquant import CoQuant, CoQuantSettings
from models.networks import sharing as module
from models.networks.base import AnyBitNetwork
from models.networks.sharing import end_sharing, sharing
from models.precision import FLOAT, OperatingPoint
from models.table import resolve
from tests.models.representatives import NETWORKS, TRAINING

Tiny = Callable[..., AnyBitNetwork]
MakeStep = Callable[..., Step]
POINTS = tuple(map(OperatingPoint.at, (8, 4, 2)))
LABELS = torch.tensor([0, 1, 2, 0])


def images(*batch: int) -> Tensor:
    return torch.randint(256, (*batch, 3, 16, 16)).byte()


def train(
    network: AnyBitNetwork,
    method: Method,
    inputs: Sequence[Tensor],
    step: Step,
    *,
    share: bool,
    done: Callable[[Tensor], None] = lambda weight: None,
) -> dict[str, Tensor | None]:
    """One step; the gradients and what it did to the state of the network.

    done: called with each weight whose gradient is complete in the last pass.
    """
    torch.manual_seed(1)
    last = len(method.points) * len(inputs)
    shared = sharing(network, inputs, len(method.points))
    with shared if share else nullcontext(inputs) as given:
        losses = method.losses(network, [Batch(x, LABELS) for x in given], step)
        for number, one in enumerate(losses, start=1):
            if share and number == last:
                end_sharing(network, done)
            (one.loss / len(inputs)).backward()
    gradients = {f"gradient of {n}": p.grad for n, p in network.named_parameters()}
    return gradients | network.state_dict()


def check_shared(
    network: AnyBitNetwork,
    method: Method,
    inputs: Sequence[Tensor],
    step: Step,
    within: float = 1e-12,
) -> None:
    alone = deepcopy(network)
    wanted = train(alone, method, inputs, step, share=False)
    found = train(network, method, inputs, step, share=True)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert (found[name] is None) == (value is None), name
        if value is not None:
            torch.testing.assert_close(found[name], value, rtol=within, atol=within, msg=name)


@pytest.mark.parametrize("method_name", TRAINING)
def test_every_method_has_the_gradients_and_statistics_of_passes_by_themselves(
    tiny: Tiny, make_step: MakeStep, method_name: str
) -> None:
    method_class = resolve(METHODS, method_name)
    settings = method_class.Settings(name=method_name)
    choices = (POINTS, POINTS[1:2], (OperatingPoint.at(FLOAT),))
    points = next(own for own in choices if not method_class.mistakes(settings, own))
    method = method_class(settings, points)
    names = tuple(point.name for point in points)
    network = tiny(bit_widths=names, layout=method.layout, dropout=0.5)
    check_shared(network.double(), method, images(2, 4).unbind(), make_step())


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_the_gradients_and_statistics_of_passes_by_themselves(
    tiny: Tiny, make_step: MakeStep, name: str
) -> None:
    network = tiny(name, bit_widths=(8, 4, 2), dropout=0.5)
    check_shared(network.double(), CoQuant(CoQuantSettings(), POINTS), [images(4)], make_step())


CLEAN = {"teacher_logits": "clean", "teacher_mode": "recursive"}
OF_LAYERS = {"swap_updates_bn_stats": False, "swap_unit": "layer"}


@pytest.mark.parametrize(
    ("network_settings", "settings"),
    [
        ({"stem_bn_shared": False}, CLEAN),
        ({"stem_bn_shared": False}, OF_LAYERS),
        ({"stem_bits": 2, "head_bits": 4}, CLEAN),
        ({"layout": Layout(norm="transitional", clip="shared")}, CLEAN),
        ({"layout": Layout(norm="transitional", clip="shared")}, OF_LAYERS),
        ({"weights": "lsq_floor", "stem_bits": 3}, CLEAN),
        ({"weights": "dorefa"}, OF_LAYERS),
        ({"num_segments": 2}, OF_LAYERS),
    ],
)
def test_coquants_step_is_the_same_in_every_layout(
    tiny: Tiny, make_step: MakeStep, network_settings: dict[str, Any], settings: dict[str, Any]
) -> None:
    network = tiny("resnet18", bit_widths=(8, 4, 2), **network_settings)
    network.start_quantizers()
    segments = (2,) if "num_segments" in network_settings else ()
    method = CoQuant(CoQuantSettings(p1=0.4, **settings), POINTS)
    check_shared(network.double(), method, images(3, 4, *segments).unbind(), make_step())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_in_whole_numbers_shares_as_one_in_floats(
    tiny: Tiny, make_step: MakeStep, name: str
) -> None:
    """The stem is computed alike, so the codes are equal, and only sums are rounded differently."""
    network = tiny(name, bit_widths=(8, 4, 2))
    network.compute_in(FloatKernel(), torch.float32)
    method = CoQuant(CoQuantSettings(), POINTS)
    check_shared(network, method, images(2, 4).unbind(), make_step(), within=1e-5)


def test_a_step_in_evaluation_mode_leaves_the_statistics(tiny: Tiny, make_step: MakeStep) -> None:
    network = tiny(bit_widths=(8, 4, 2)).eval()
    check_shared(network.double(), CoQuant(CoQuantSettings(), POINTS), [images(4)], make_step())
    assert network.bn1.num_batches_tracked == 0


def runs(layer: nn.Module) -> Counter[str]:
    """Count the forward and backward passes of a layer from now on."""
    counts: Counter[str] = Counter()

    def ran(_layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counts["forward"] += 1
        if output.requires_grad:
            output.register_hook(lambda _: counts.update(["backward"]))

    layer.register_forward_hook(ran)
    return counts


def test_each_weight_is_reached_once_however_many_passes_use_it(
    tiny: Tiny, make_step: MakeStep
) -> None:
    network = tiny(bit_widths=(8, 4, 2), stem_bits=4, head_bits=2)
    method, counts = CoQuant(CoQuantSettings(), POINTS), Counter[str]()
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            parameter.register_hook(lambda _, name=name: counts.update([name]))
    train(network, method, images(2, 4).unbind(), make_step(), share=True)
    assert len(counts) > 5
    assert set(counts.values()) == {1}


@pytest.mark.parametrize(
    ("bit_widths", "weights"), [((8, 4, 2), "coquant_trunc"), ((FLOAT, 4), "dorefa")]
)
def test_in_the_last_pass_weights_are_complete_one_after_another_before_the_stem(
    tiny: Tiny, make_step: MakeStep, bit_widths: tuple[int, ...], weights: str
) -> None:
    network = tiny(bit_widths=bit_widths, weights=weights)
    method = CoQuant(CoQuantSettings(), tuple(map(OperatingPoint.at, bit_widths)))
    then: list[tuple[Tensor, Tensor]] = []

    def done(weight: Tensor) -> None:
        assert weight.grad is not None
        assert network.conv1.weight.grad is None
        then.append((weight, weight.grad.clone()))

    train(network, method, images(2, 4).unbind(), make_step(), share=True, done=done)
    convolutions = [layer.weight for layer in network.convolutions()]
    assert {id(weight) for weight, _ in then} == {id(weight) for weight in convolutions}
    assert len(then) == len(convolutions)
    assert then[-1][0] is convolutions[0]
    for weight, gradient in then:
        assert torch.equal(weight.grad, gradient)


@pytest.mark.parametrize(("kept", "stems"), [(2**20, 3), (2 * 4 * 4 * 16 * 16 * 4, 2), (0, 1)])
def test_behind_the_stem_of_a_batch_that_is_kept_all_passes_meet(
    tiny: Tiny, make_step: MakeStep, monkeypatch: pytest.MonkeyPatch, kept: int, stems: int
) -> None:
    """A kept output has four images, four channels, 16 x 16 pixels, and four bytes for each.

    The stem runs again for the way back, so that nothing else of it is kept.
    """
    monkeypatch.setattr(module, "KEPT_BYTES", kept)
    network = tiny(bit_widths=(8, 4, 2))
    counts, method = runs(network.conv1), CoQuant(CoQuantSettings(), POINTS)
    train(network, method, images(3, 4).unbind(), make_step(), share=True)
    others = len(POINTS) * (3 - stems)
    assert counts == {"forward": 2 * stems + others, "backward": stems + others}


def test_an_extra_pass_of_a_teacher_starts_behind_the_stem(tiny: Tiny, make_step: MakeStep) -> None:
    network = tiny(bit_widths=(8, 4, 2))
    counts = runs(network.conv1)
    settings = CoQuantSettings(teacher_logits="clean", teacher_mode="recursive")
    train(network, CoQuant(settings, POINTS), [images(4)], make_step(), share=True)
    assert counts == {"forward": 2, "backward": 1}
    assert network.bn1.num_batches_tracked == len(POINTS)


def test_what_no_pass_used_has_no_gradient_and_keeps_its_statistics(tiny: Tiny) -> None:
    network = tiny()
    with sharing(network, [images(4)], passes=2):
        pass
    assert all(parameter.grad is None for parameter in network.parameters())
    assert network.bn1.num_batches_tracked == 0


class Stopped(Exception):
    """In the middle of a step."""


def test_after_an_exception_nothing_goes_backward_and_the_next_step_is_whole(
    tiny: Tiny, make_step: MakeStep
) -> None:
    network, method = tiny(bit_widths=(8, 4, 2)), CoQuant(CoQuantSettings(), POINTS)

    def stopped() -> None:
        with sharing(network, [images(4)], len(POINTS)) as given:
            losses = method.losses(network, [Batch(given[0], LABELS)], make_step())
            next(losses).loss.backward()
            raise Stopped

    with pytest.raises(Stopped):
        stopped()
    weights = [p for p in network.parameters() if p.dim() == 4]
    assert all(weight.grad is None for weight in weights)
    network.zero_grad()
    check_shared(network.double(), method, [images(4)], make_step())


def test_features_of_a_stem_are_no_parameters_and_points_without_gradient_share_them(
    tiny: Tiny,
) -> None:
    network, inputs = tiny().eval(), images(4)
    with torch.no_grad():
        stem = network.share(inputs)
        for bits in (8, 2):
            assert torch.equal(network(stem, bits), network(inputs, bits))
    assert not stem.features.requires_grad
