"""Against the golden consensus and the image network run on each frame."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from models.kernels import kernel_for
from models.networks.base import AnyBitNetwork
from models.networks.tsn import consensus

Tiny = Callable[..., AnyBitNetwork]


@pytest.mark.golden
def test_the_consensus_is_the_golden_one(golden: Callable[[str], dict[str, Any]]) -> None:
    data = golden("metrics")
    cases = [case for case in data["cases"] if case["kind"] == "tsn_consensus"]
    assert cases
    for case in cases:
        frames = torch.tensor(case["frame_logits"], dtype=torch.float64)
        logits = consensus(frames.flatten(0, 1), frames.shape[1])
        for actual, name in ((logits, "video_logits"), (logits.softmax(dim=1), "video_softmax")):
            expected = torch.tensor(case[name], dtype=torch.float64)
            torch.testing.assert_close(actual, expected, rtol=0, atol=data["abs"])


def test_a_clip_is_the_mean_of_its_frames_logits(tiny: Tiny) -> None:
    network = tiny("resnet18", num_segments=3).eval()
    clips = torch.randn(2, 3, 3, 16, 16)
    frames = torch.stack([network.backbone(clips[:, t], 4) for t in range(3)])
    torch.testing.assert_close(network(clips, 4), frames.mean(dim=0))


def test_a_clip_network_has_the_blocks_and_bit_widths_of_its_image_network(tiny: Tiny) -> None:
    network = tiny("resnet50", num_segments=2)
    assert network.precisions == network.backbone.precisions
    assert network.quantized_layers == network.backbone.quantized_layers
    assert network.weight_distance(8, 2) == network.backbone.weight_distance(8, 2)


@pytest.mark.parametrize("shape", [(2, 3, 16, 16), (2, 4, 3, 16, 16)])
def test_clips_of_another_shape_are_refused(tiny: Tiny, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"clips are \(batch, 3, channels"):
        tiny("resnet18", num_segments=3)(torch.zeros(shape), 8)


def test_convolving_codes_reaches_the_frames(tiny: Tiny) -> None:
    network = tiny("resnet18", num_segments=2)
    kernel = kernel_for(torch.device("cpu"))
    network.compute_in(kernel, torch.bfloat16)
    assert network.backbone.layer1[0].conv1.kernel == kernel
    assert network.backbone.layer1[0].conv1.dtype == torch.bfloat16
    assert network(torch.randn(2, 2, 3, 16, 16), 8).dtype == torch.float32
