"""What a job says reaches the network, the method and the data that train."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from models.kernels import Kernel, kernel_for
from models.layers.conv import QuantizedConv2d
from models.networks.base import AnyBitNetwork
from models.roles import roles
from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_network
from orchestrator.store.run_folder import RunFolder
from orchestrator.train import arithmetic
from orchestrator.train.ranks import Ranks
from orchestrator.train.setup import build_parts
from orchestrator.train.worker import Run, Worker

TinyJob = Callable[..., Job]
MOBILENET = (
    "{name: mobilenet_v2_cifar, widths: [4, 6], depths: [1, 1], expansions: [1, 2], "
    "strides: [1, 2], stem_width: 4, head_width: 8}"
)


def network_of(job: Job) -> AnyBitNetwork:
    return build_network(job, 3)


def quantized(network: AnyBitNetwork) -> list[QuantizedConv2d]:
    return [module for module in network.modules() if isinstance(module, QuantizedConv2d)]


@pytest.mark.parametrize(("b1", "code_bits"), [("8", 8), ("same", 4)])
def test_individual_weights_are_the_codes_of_b1_truncated(
    tiny_job: TinyJob, b1: str, code_bits: int
) -> None:
    method = f"method={{name: individual, individual_b1: {b1}}}"
    layer = quantized(network_of(tiny_job("quantizer.bit_widths=[4]", method)))[0]
    tanh = layer.weight.detach().double().tanh()
    stored = ((2**code_bits - 1) * (tanh / (2 * tanh.abs().max()) + 0.5)).round()
    expected = (stored / 2 ** (code_bits - 4)).floor()
    assert torch.equal(layer.levels(4).codes.double(), expected)


def test_every_clip_level_starts_where_the_job_says(tiny_job: TinyJob) -> None:
    network = network_of(tiny_job("quantizer.activations.clip_init=3.5"))
    levels = [one.parameter for one in roles(network) if one.role == "clip"]
    assert {level.item() for level in levels} == {3.5}
    assert len(levels) == 4 * 4


def test_first_and_last_layer_get_the_bit_widths_and_the_clip_level_of_the_job(
    tiny_job: TinyJob,
) -> None:
    clip = "quantizer.activations.head_clip_init=10"
    network = network_of(tiny_job("quantizer.stem_bits=8", "quantizer.head_bits=7", clip))
    assert (network.conv1.bits, network.fc.bits) == (8, 7)
    assert network.fc.act.clip_levels["8bit"].item() == 10


def test_quantizer_and_model_settings_reach_the_network(tiny_job: TinyJob) -> None:
    network = network_of(
        tiny_job("quantizer.bit_widths=[6, 3]", "model.stem_bn_shared=false", "model.dropout=0.25")
    )
    assert [own.label for own in network.precisions] == ["6bit", "3bit"]
    assert {"bn1.6bit.weight", "bn1.3bit.weight"} <= network.state_dict().keys()
    dropouts = [module.p for module in network.modules() if isinstance(module, nn.Dropout)]
    assert dropouts == [0.25]


def float_model(network: AnyBitNetwork) -> dict[str, Any]:
    """A float model of the same layout with other values: one batch norm, no clip levels."""
    torch.manual_seed(99)
    return {
        name.replace(".8bit.", "."): torch.rand(value.shape).to(value.dtype) + 1
        for name, value in network.state_dict().items()
        if not re.search(r"clip_levels|normalize|\.[642]bit\.", name)
    }


def test_a_float_start_has_the_float_models_weights_in_every_bit_widths_set(
    tiny_job: TinyJob, tmp_path: Path
) -> None:
    given = float_model(network_of(tiny_job()))
    torch.save(given, tmp_path / "float.pt")
    job = tiny_job("start.from=float", f"start.weights={tmp_path / 'float.pt'}")
    state = build_parts(job, Ranks()).network.state_dict()
    seen = set()
    for name, value in state.items():
        if ".clip_levels." in name or name.startswith("normalize."):
            continue
        float_name = re.sub(r"\.[8642]bit\.", ".", name)
        seen.add(float_name)
        assert torch.equal(value, given[float_name]), name
    assert seen == given.keys()


def test_a_start_from_scratch_does_not_look_at_float_weights(
    tiny_job: TinyJob, tmp_path: Path
) -> None:
    torch.save(float_model(network_of(tiny_job())), tmp_path / "float.pt")
    job = tiny_job("start.from=scratch")
    first, second = network_of(job).state_dict(), network_of(job).state_dict()
    assert all(torch.equal(first[name], value) for name, value in second.items())


class Convolved(TorchDispatchMode):
    """Notes the types that convolutions multiply."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ == "convolution":
            self.dtypes.add(args[0].dtype)
        return func(*args, **kwargs or {})


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("float32", {torch.float32}), ("bfloat16", {torch.float32, torch.bfloat16})],
)
def test_convolutions_multiply_in_the_precision_of_the_job(
    tiny_job: TinyJob, precision: str, expected: set[torch.dtype]
) -> None:
    job = tiny_job("training.arithmetic=float", f"training.precision={precision}")
    network = build_parts(job, Ranks()).network
    with Convolved() as convolved, torch.no_grad():
        network(torch.randn(2, 3, 16, 16), 8)
    assert convolved.dtypes == expected


@pytest.mark.parametrize(
    ("wanted", "kernel"), [("auto", kernel_for(torch.device("cpu"))), ("float", None)]
)
def test_quantized_layers_get_the_kernel_and_the_type_that_were_chosen(
    tiny_job: TinyJob, monkeypatch: pytest.MonkeyPatch, wanted: str, kernel: Kernel | None
) -> None:
    monkeypatch.setattr(arithmetic, "has_bfloat16", lambda device: True)
    job = tiny_job(f"training.arithmetic={wanted}", "training.precision=bfloat16")
    parts = build_parts(job, Ranks())
    layers = quantized(parts.network)
    assert {layer.kernel for layer in layers} == {kernel} == {parts.arithmetic.kernel}
    assert {layer.dtype for layer in layers} == {torch.bfloat16} == {parts.arithmetic.dtype}


@pytest.mark.parametrize(
    ("options", "depthwise_alone"),
    [
        ([], True),
        (["phases=[{quantizer: {bit_widths: [w8a32, w2a32]}}, {}]"], True),
        (["quantizer.bit_widths=[w8a32, w4a32]"], False),
        (["training.arithmetic=float"], False),
    ],
)
def test_a_run_states_which_quantized_layers_are_in_floats(
    tiny_job: TinyJob, options: list[str], depthwise_alone: bool
) -> None:
    job = tiny_job(f"model={MOBILENET}", "quantizer.bit_widths=[8, 2]", *options)
    parts = build_parts(job, Ranks())
    names = [info.name for info in parts.network.quantized_layers]
    stated = parts.arithmetic.stated
    assert stated.layers == len(names) == 7
    expected = ["layers.0.conv2", "layers.1.conv2"] if depthwise_alone else names
    assert list(stated.in_floats) == expected


def test_training_and_evaluation_have_their_own_samples(tiny_job: TinyJob) -> None:
    parts = build_parts(tiny_job(), Ranks())
    for dataset, folder, count in ((parts.train_set, "train", 24), (parts.val_set, "val", 9)):
        assert {Path(dataset.source(i)).parts[-3] for i in range(len(dataset))} == {folder}
        assert len(dataset) == count


class Unconnected(Ranks):
    """A rank that has not met the others, which are like itself."""

    def gather(self, value: Any) -> list[Any]:
        return [value] * self.world


class Alone:
    """What a worker asks of whatever runs it, before it runs."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks

    def latest(self) -> None:
        return None

    def commit(self, *_: object) -> None: ...


def test_ranks_start_with_equal_weights_and_draw_different_random_numbers(
    tiny_job: TinyJob, tmp_path: Path
) -> None:
    weights, draws = [], []
    for rank in (0, 1, 2, 0):
        worker = Worker(tiny_job("seed=4"), Run(RunFolder(tmp_path)), Alone(Unconnected(rank, 4)))  # type: ignore[arg-type]
        weights.append(worker.parts.network.state_dict())
        draws.append(torch.rand(3).tolist())
    for other in weights[1:]:
        assert all(torch.equal(weights[0][name], value) for name, value in other.items())
    assert draws[0] == draws[3]
    assert len({tuple(draw) for draw in draws}) == 3


def test_another_seed_draws_other_weights_and_other_random_numbers(
    tiny_job: TinyJob, tmp_path: Path
) -> None:
    weights, draws = [], []
    for seed in (4, 5):
        worker = Worker(tiny_job(f"seed={seed}"), Run(RunFolder(tmp_path)), Alone(Ranks()))  # type: ignore[arg-type]
        weights.append(worker.parts.network.state_dict()["conv1.weight"])
        draws.append(torch.rand(3).tolist())
    assert not torch.equal(*weights)
    assert draws[0] != draws[1]
