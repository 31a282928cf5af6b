"""Golden vectors, tiny networks and steps for the tests of `models`."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models import NETWORKS, build_network
from models.layers.layout import Layout
from models.methods.base import Step
from models.networks.base import AnyBitNetwork
from models.precision import FLOAT
from models.quantizers import ACTIVATION_QUANTIZERS, WEIGHT_QUANTIZERS
from models.quantizers.settings import QuantizerSettings
from models.table import resolve
from tests.models.precisions import precisions

INVERTED = {
    "widths": (4, 4, 6, 8),
    "depths": (1, 2, 1, 1),
    "expansions": (1, 2, 2, 2),
    "strides": (1, 1, 2, 1),
    "stem_width": 4,
    "head_width": 12,
}
TINY = {
    **{name: {"widths": (4, 8), "depths": (1, 2)} for name in NETWORKS},
    "resnet50": {"widths": (2, 4), "depths": (1, 2)},
    "resnet50_preact": {"widths": (2, 4), "depths": (1, 2)},
    "ebn": {"widths": (4, 8), "depths": (1, 2), "groups": (2, 4), "stem_width": 4},
    "mobilenet_v2_cifar": INVERTED,
    "mobilenet_v2_oneweight": INVERTED,
    "mobilenet_v2": INVERTED,
    "inv_resnet26": INVERTED | {"expansions": (2, 2, 2, 2), "head_width": 0},
    "mobilenet_v1": {"widths": (4, 8), "depths": (1, 2), "strides": (1, 2), "stem_width": 4},
    "vgg11": {"widths": (4, 8), "depths": (1, 3), "variant": "a"},
}


@pytest.fixture
def golden() -> Callable[[str], dict[str, Any]]:
    """Read one file of golden vectors; `abs` is the tolerance that it states, for float64."""

    def read(name: str) -> dict[str, Any]:
        default = Path(__file__).parent.parent / "data" / "golden"
        folder = Path(os.environ.get("ORCH_GOLDEN_DIR", default))
        data: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
        stated = re.search(r"(?:abs|relative) ([\d.e+-]+)", data["tolerance"])
        assert stated, data["tolerance"]
        assert data["cases"]
        return data | {"abs": float(stated[1])}

    return read


@pytest.fixture
def tiny() -> Callable[..., AnyBitNetwork]:
    """Build a network of a few channels: tiny("resnet18_cifar", weights="dorefa", ...)."""

    def build(
        name: str = "resnet18_cifar",
        *,
        bit_widths: tuple[int | str, ...] = (8, 6, 4, 2),
        weights: str = "coquant_trunc",
        activations: str = "pact",
        clip_init: float = 2.0,
        layout: Layout | None = None,
        code_bits: int | None = None,
        stem_bits: int = FLOAT,
        head_bits: int = FLOAT,
        num_classes: int = 3,
        **settings: Any,
    ) -> AnyBitNetwork:
        chosen = resolve(NETWORKS, name).Settings(**TINY[name] | settings)
        own = {"clip_init": clip_init} if activations == "pact" else {}
        quantizer = QuantizerSettings(
            weights=resolve(WEIGHT_QUANTIZERS, weights).Settings(),
            activations=resolve(ACTIVATION_QUANTIZERS, activations).Settings(**own),
            stem_bits=stem_bits,
            head_bits=head_bits,
        )
        return build_network(
            chosen,
            quantizer,
            precisions=precisions(*bit_widths),
            num_classes=num_classes,
            layout=layout,
            code_bits=code_bits,
        )

    return build


@pytest.fixture
def make_step() -> Callable[..., Step]:
    """A step of a run on one rank."""

    def make(**fields: Any) -> Step:
        start = {
            "seed": 0,
            "index": 0,
            "epoch": 0,
            "epochs": 10,
            "progress": 0.0,
            "sum_over_ranks": _on_one_rank,
        }
        return Step(**start | fields)

    return make


def _on_one_rank(tensor: Tensor) -> Tensor:
    return tensor


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Tensors this small gain nothing from a second thread, and waiting for it costs seconds."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed notes a stack for every device
        yield
