"""Statistics of pixels and defaults of the transforms, as the papers and their code give them."""

from pathlib import Path

import pytest
import torch

from models.layers.normalize import Normalize
from orchestrator.data import DATASETS, dataset_class, input_scale, published_form

CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
CIFAR100 = ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cifar10", CIFAR10),
        ("cifar100", CIFAR100),
        ("imagenet", IMAGENET),
        ("activitynet", IMAGENET),
        ("mini_kinetics", IMAGENET),
    ],
)
def test_pixels_are_normalized_with_the_means_and_deviations_of_their_data(
    name: str, expected: tuple[tuple[float, ...], tuple[float, ...]]
) -> None:
    found = dataset_class(name)
    assert (found.mean, found.std) == expected


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "imagenet"])
def test_raw_pixels_go_in_as_they_are_from_0_to_255(name: str) -> None:
    kind = dataset_class(name).Settings
    given = kind(root=Path("/nowhere"))
    assert input_scale(given) == (dataset_class(name).mean, dataset_class(name).std)
    pixels = torch.arange(256, dtype=torch.uint8).expand(3, 1, 256)
    raw = Normalize(*input_scale(given.model_copy(update={"pixels": "raw"})))
    assert torch.equal(raw(pixels, torch.float32), pixels.float())
    assert torch.equal(raw(pixels, torch.bfloat16), pixels.bfloat16())


@pytest.mark.parametrize("name", ["activitynet", "mini_kinetics"])
def test_clips_are_cut_at_four_scales_and_mirrored_unless_a_job_says_otherwise(name: str) -> None:
    settings = dataset_class(name).Settings(root=Path("/nowhere"))
    assert settings.crop == 224
    assert settings.test_scale == 256
    assert settings.crop_scales == (1.0, 0.875, 0.75, 0.66)
    assert settings.flip is True
    assert (settings.limit_train, settings.limit_val) == (None, None)


def test_images_are_cut_at_224_from_a_short_side_of_256_unless_a_job_says_otherwise() -> None:
    settings = dataset_class("imagenet").Settings(root=Path("/nowhere"))
    assert (settings.crop, settings.resize) == (224, 256)
    assert (settings.limit_train, settings.limit_val) == (None, None)
    cifar = dataset_class("cifar10").Settings(root=Path("/nowhere"))
    assert (cifar.limit_train, cifar.limit_val) == (None, None)


def test_what_is_reported_is_top_1_and_on_activitynet_map() -> None:
    settings = dataset_class("activitynet").Settings(root=Path("/nowhere"))
    assert settings.metric == "map"
    metrics = {
        name: dataset_class(name).metric for name in ("cifar10", "imagenet", "mini_kinetics")
    }
    assert set(metrics.values()) == {"top1"}
    assert dataset_class("mini_kinetics").min_frames == 30


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_has_its_published_number_of_classes(name: str) -> None:
    classes = {"cifar10": 10, "cifar100": 100, "imagenet": 1000, "video_folders": 101}
    settings = dataset_class(name).Settings(root="nowhere")
    side = 32 if name.startswith("cifar") else 224
    assert published_form(settings) == (classes.get(name, 200), side)
