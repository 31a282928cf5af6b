"""What a job file can get wrong about a network."""

from typing import Any

import pytest
from pydantic import ValidationError

from models import NETWORKS
from models.table import resolve


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_needs_no_settings_but_its_name(name: str) -> None:
    settings = resolve(NETWORKS, name).Settings(name=name)
    assert (settings.dropout, settings.num_segments) == (0.0, None)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"widths": (4, 8)}, "one entry for each stage, not 2 and"),
        ({"widths": (), "depths": ()}, "one entry for each stage"),
        ({"dropout": 1.0}, "less than 1"),
        ({"num_segments": 0}, "greater than or equal to 1"),
        ({"segments": 8}, "not permitted"),
        ({"width": 0.0}, "greater than 0"),
        ({"width": 1e9}, "less than or equal to 64"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_was_expected(
    name: str, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        resolve(NETWORKS, name).Settings(**wrong)


def test_a_stage_without_width_is_refused() -> None:
    settings = resolve(NETWORKS, "resnet18").Settings
    with pytest.raises(ValidationError, match="at least 1"):
        settings(widths=(4, 0), depths=(1, 1))


@pytest.mark.parametrize("wrong", [{"expansions": (1,)}, {"strides": (1, 1)}])
def test_mobilenets_stages_are_complete(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="one entry for each stage"):
        resolve(NETWORKS, "mobilenet_v2_cifar").Settings(**wrong)
