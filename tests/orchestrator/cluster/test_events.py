"""Events as the driver prints them and as Ray passes them on."""

import json

import pytest

from orchestrator.cluster import events

PROGRESS = {
    "event": "progress",
    "epoch": 2,
    "epochs": 12,
    "step": 5,
    "steps": 31,
    "samples_per_second": 45.67,
    "eta_seconds": 125,
    "loss": {"8bit": 1.25, "2bit": 1.5},
    "metric_name": "top1",
    "metric": {"8bit": 90.0, "2bit": 80.04},
}


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "(RayTrainWorker pid=71) ",
        "\x1b[36m(RayTrainWorker pid=71, ip=10.0.0.2)\x1b[0m ",
    ],
)
def test_an_event_is_found_behind_whatever_ray_sets_before_it(prefix: str) -> None:
    assert events.parse(f"{prefix}::orch {json.dumps(PROGRESS)}\n") == PROGRESS


@pytest.mark.parametrize(
    "line",
    [
        "",
        "epoch 3",
        "::orch {broken",
        "::orch {}",
        '::orch ["event"]',
        'he said ::orch {"event": "failed"}',
    ],
)
def test_other_lines_are_no_events(line: str) -> None:
    assert events.parse(line) is None


def test_the_last_of_each_fact_is_kept() -> None:
    later = PROGRESS | {"epoch": 3}
    finished = {"event": "finished", "table": "| 8 |", "rows": []}
    facts = events.collect([PROGRESS, later, finished])
    assert facts == {"state": "SUCCEEDED", "progress": later, "result": finished}
