"""GPUs are counted as the head would count them, without one being started."""

from types import SimpleNamespace

import pytest
from ray._private import accelerators

from orchestrator.cluster import gpus


@pytest.mark.parametrize(
    ("found", "visible", "counted"),
    [(0, None, 0), (4, None, 4), (4, ["1", "3"], 2), (4, [], 0), (0, ["0"], 0)],
)
def test_gpus_count_as_far_as_they_are_visible(
    monkeypatch: pytest.MonkeyPatch, found: int, visible: list[str] | None, counted: int
) -> None:
    maker = SimpleNamespace(
        get_current_node_num_accelerators=lambda: found,
        get_current_process_visible_accelerator_ids=lambda: visible,
    )
    monkeypatch.setattr(accelerators, "get_accelerator_manager_for_resource", {"GPU": maker}.get)
    assert gpus.count() == counted
