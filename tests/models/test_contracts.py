"""What every network, quantizer and method of the tables must do, at tiny sizes."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import NETWORKS
from models.kernels import kernel_for
from models.layers.conv import QuantizedConv2d
from models.layers.layout import Layout
from models.layers.norm import SwitchableBatchNorm2d
from models.methods.base import Step
from models.networks.base import AnyBitNetwork
from models.precision import Assignment
from models.quantizers import WEIGHT_QUANTIZERS
from models.roles import roles
from models.table import resolve
from tests.models import representatives
from tests.models.precisions import Bound, precisions

Tiny = Callable[..., AnyBitNetwork]
MakeStep = Callable[..., Step]
networks = pytest.mark.parametrize("name", representatives.NETWORKS)


def images(batch: int = 4) -> Tensor:
    return torch.randn(batch, 3, 16, 16)


@pytest.mark.parametrize("name", WEIGHT_QUANTIZERS)
@pytest.mark.parametrize("bits", range(1, 9))
def test_a_weight_quantizer_keeps_levels_and_order_and_passes_a_gradient(
    name: str, bits: int
) -> None:
    weight = torch.randn(20, 30).requires_grad_()
    bound = Bound(resolve(WEIGHT_QUANTIZERS, name), weight)
    values, levels = bound.values(bits), bound.levels(bits)
    assert levels.codes.dtype == torch.uint8
    assert levels.codes.max() <= 2**bits - 1
    for own, quantized, codes in zip(weight, values, levels.codes, strict=True):  # a filter each
        assert (quantized[own.argsort()].diff() >= 0).all()
        assert len(codes.unique()) == len(quantized.unique()) <= 2**bits
    by_codes = levels.gain * levels.codes + levels.offset
    torch.testing.assert_close(values.double(), by_codes, rtol=0, atol=1e-6)
    assert bound.distance(bits, bits) == 0
    wanted = [weight, *bound.quantizer.parameters()]
    of_values, of_stand_in = (
        torch.autograd.grad(output, wanted, values.detach(), allow_unused=True)
        for output in (values, bound.quantizer.stand_in(weight, bits))
    )
    assert of_values[0].abs().sum() > 0
    torch.testing.assert_close(of_stand_in, of_values)


@pytest.mark.parametrize("name", WEIGHT_QUANTIZERS)
@pytest.mark.parametrize("bits", range(1, 9))
def test_a_gain_is_above_zero_even_of_zeros_and_shows_a_weight_that_is_not_a_number(
    name: str, bits: int
) -> None:
    kind = resolve(WEIGHT_QUANTIZERS, name)
    for weight in (torch.randn(20, 30), torch.zeros(20, 30)):
        levels = Bound(kind, weight).levels(bits)
        assert levels.gain.dtype == levels.offset.dtype == torch.float64
        assert (levels.gain > 0).all()
    weight = torch.randn(20, 30)
    weight[3, 4] = torch.nan
    bound = Bound(kind, weight)
    assert bound.levels(bits).gain.isnan().any()
    assert bound.values(bits)[3, 4].isnan()


@pytest.mark.parametrize("name", WEIGHT_QUANTIZERS)
def test_a_weight_in_the_place_of_a_forgotten_one_is_quantized_as_itself(name: str) -> None:
    kind = resolve(WEIGHT_QUANTIZERS, name)
    quantizer = kind(kind.Settings(), (4,), 8)
    for _ in range(30):
        weight = torch.randn(16, 3, 3, 3)
        fresh = kind(kind.Settings(), (4,), 8)
        assert torch.equal(quantizer(weight, 4), fresh(weight, 4))
        del weight


@pytest.mark.parametrize("name", WEIGHT_QUANTIZERS)
@pytest.mark.parametrize(("high", "low"), [(8, 4), (4, 1)])
def test_the_distance_of_two_bit_widths_is_that_of_their_values(
    name: str, high: int, low: int
) -> None:
    bound = Bound(resolve(WEIGHT_QUANTIZERS, name), torch.randn(20, 30, dtype=torch.float64))
    expected = (bound.values(high) - bound.values(low)).abs().mean()
    torch.testing.assert_close(bound.distance(high, low), expected.detach())


@pytest.mark.parametrize("name", WEIGHT_QUANTIZERS)
def test_nested_codes_follow_from_the_stored_ones(name: str) -> None:
    bound = Bound(resolve(WEIGHT_QUANTIZERS, name), torch.randn(100, 100))
    stored = bound.codes(8).int()
    follow = (
        len((stored * 256 + bound.codes(bits)).unique()) == len(stored.unique())
        for bits in range(1, 8)
    )
    assert all(follow) == bound.quantizer.nested


@pytest.mark.parametrize("name", WEIGHT_QUANTIZERS)
def test_what_is_written_in_place_is_noticed_and_goes_into_copies(name: str) -> None:
    kind = resolve(WEIGHT_QUANTIZERS, name)
    bound = Bound(kind, torch.randn(16, 4, 3, 3))
    for tensor in (bound.weight, *bound.quantizer.parameters()):
        bound.values(4)
        bound.distance(8, 4)
        with torch.no_grad():
            tensor.mul_(1.3).view(-1)[0].add_(0.1)
        fresh, copied = Bound(kind, bound.weight.clone()), deepcopy(bound)
        fresh.quantizer.load_state_dict(bound.quantizer.state_dict())
        for other in (fresh, copied):
            assert torch.equal(bound.values(4), other.values(4))
            assert bound.distance(8, 4) == other.distance(8, 4)


with_weights = pytest.mark.parametrize(("name", "weights"), representatives.NETWORKS_AND_WEIGHTS)


@with_weights
def test_a_network_runs_at_every_bit_width(tiny: Tiny, name: str, weights: str) -> None:
    network = tiny(name, weights=weights, bit_widths=(8, 7, 6, 5, 4, 3, 2, 1))
    for bits in range(1, 9):
        logits = network(images(), bits)
        assert logits.shape == (4, 3)
        assert logits.isfinite().all()


@with_weights
def test_stem_and_head_may_have_weights_of_a_bit_width_of_their_own(
    tiny: Tiny, name: str, weights: str
) -> None:
    network = tiny(name, stem_bits=8, head_bits=3, weights=weights, bit_widths=(4, 2))
    seen: dict[str, Tensor] = {}
    network.conv1.register_forward_pre_hook(lambda _, args: seen.update(stem=args[0]))
    network.fc.act.register_forward_hook(lambda _, args, out: seen.update(head=out))
    pixels = images()
    logits = network(pixels, 2)
    assert torch.equal(seen["stem"], pixels)
    assert len(seen["head"].unique()) <= 4
    weight = network.fc.quantizer(network.fc.weight, 3)
    assert max(len(of_class.unique()) for of_class in weight) <= 8
    logits.sum().backward()
    assert all(p.grad is not None for n, p in network.named_parameters() if "4bit" not in n)
    assert len(network.clip_levels()["2bit"]) == len(tiny(name).clip_levels()["2bit"]) + 1
    names = {info.name for info in network.quantized_layers}
    assert not names & {"conv1", "fc"}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_takes_images_of_odd_sizes_and_videos(tiny: Tiny, name: str) -> None:
    network = tiny(name, bit_widths=(4, 2), num_segments=2)
    assert network(torch.randn(2, 2, 3, 17, 13), 2).shape == (2, 3)


@networks
@pytest.mark.parametrize("layout", representatives.LAYOUTS, ids=str)
def test_a_network_of_every_layout_runs_mixed_and_takes_another_precision(
    tiny: Tiny, name: str, layout: Layout
) -> None:
    network = tiny(name, layout=layout, bit_widths=(8, "w1a4", 2))
    network.add(*precisions(3, 2))
    infos = network.quantized_layers
    mixed = tuple(network.precisions[index % 4] for index in range(len(infos)))
    assert network(images(), Assignment(mixed[0], mixed)).isfinite().all()
    sets = sum(n.endswith("running_mean") and ".bn" in f".{n}" for n in network.state_dict())
    counts = {"shared": 1, "switchable": 4, "transitional": 16}
    quantized = sum(info.kind != "shortcut" for info in infos)
    assert sets == quantized * counts[layout.norm] + 1  # the stem's
    assert len(network.clip_levels()) == (1 if layout.clip == "shared" else 4)


@networks
def test_training_one_bit_width_leaves_every_other_set_of_batch_norm_alone(
    tiny: Tiny, name: str
) -> None:
    network = tiny(name, stem_bn_shared=False)
    network.train()
    network(images(), 4)
    for prefix, norm in network.named_modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.num_batches_tracked == (1 if prefix.endswith(".4bit") else 0), prefix


@networks
def test_every_convolution_but_the_first_is_quantized_and_switches_its_batch_norm(
    tiny: Tiny, name: str
) -> None:
    network = tiny(name)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    floats = [m for m in convolutions if not isinstance(m, QuantizedConv2d)]
    switched = [m for m in network.modules() if isinstance(m, SwitchableBatchNorm2d)]
    assert len(floats) == 1
    assert floats[0].in_channels == 3
    assert len(switched) == len(convolutions) - 1


@networks
def test_every_quantized_convolution_sees_quantized_inputs(tiny: Tiny, name: str) -> None:
    network = tiny(name, clip_init=0.7)
    counts: list[int] = []
    for module in network.modules():
        if isinstance(module, QuantizedConv2d):
            module.register_forward_pre_hook(lambda _, args: counts.append(len(args[0].unique())))
    network(images(), 2)
    assert counts
    assert max(counts) <= 4


@networks
def test_every_parameter_has_the_role_of_what_holds_it(tiny: Tiny, name: str) -> None:
    network = tiny(name)
    listed = roles(network)
    assert sorted(n for n, _, _ in listed) == sorted(n for n, _ in network.named_parameters())
    names: dict[str, set[str]] = {}
    for n, _, role in listed:
        names.setdefault(role, set()).add(n)
    assert all(".clip_levels." in n for n in names["clip"])
    assert len(names["clip"]) == sum(".clip_levels." in n for n, _, _ in listed)
    assert all(p.dim() == 1 for _, p, role in listed if role == "norm")
    assert names["norm"] >= {"bn1.weight", "bn1.bias"}
    slopes = {n for n in names["bias"] if "prelu" in n}
    assert names["bias"] - slopes == {"fc.bias"}
    assert bool(slopes) == ("preact" in name or name == "ebn")
    assert all(p.dim() > 1 for _, p, role in listed if role == "weight")
    grouped = {n for n, p, _ in listed if p.dim() == 4 and p.shape[1] == 1}
    assert names.get("depthwise", set()) == grouped


@networks
@pytest.mark.parametrize("bits", [8, 2])
def test_codes_give_logits_and_gradients_up_to_rounding(tiny: Tiny, name: str, bits: int) -> None:
    network = tiny(name)
    inputs, labels = images(), torch.tensor([0, 1, 2, 0])
    logits, gradients = [], []
    for kernel in (None, kernel_for(torch.device("cpu"))):
        network.compute_in(kernel)
        network.zero_grad()
        logits.append(network(inputs, bits))
        F.cross_entropy(logits[-1], labels).backward()
        gradients.append({n: p.grad for n, p in network.named_parameters() if p.grad is not None})
    # A code that lies on a tie may differ, and what follows it.
    assert (logits[1] - logits[0]).norm() < 0.02 * logits[0].norm()
    assert gradients[1].keys() == gradients[0].keys()
    exactly, by_codes = (torch.cat([g[n].flatten() for n in gradients[0]]) for g in gradients)
    assert F.cosine_similarity(exactly, by_codes, dim=0) > 0.98


@networks
def test_a_bit_width_without_batch_norm_is_refused(tiny: Tiny, name: str) -> None:
    with pytest.raises(ValueError, match="no batch norm for 3bit"):
        tiny(name)(images(), 3)


@networks
def test_bit_widths_above_the_codes_are_refused(tiny: Tiny, name: str) -> None:
    with pytest.raises(ValueError, match="8-bit weights do not fit 4-bit codes"):
        tiny(name, code_bits=4)
