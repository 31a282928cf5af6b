"""A short bad day on the tests' own cluster; `make chaos` has longer ones, with nodes and S3."""

import json
import urllib.request
from pathlib import Path

import pytest

from tests.chaos.day import let_happen
from tests.chaos.faults import drawn
from tests.chaos.runs import Place
from tests.mlflow_server import MlflowServer
from tests.raylets import Head
from tests.unreliable import on_the_way_to

pytestmark = pytest.mark.ray

SEED = 22
"""Draws the two faults that one node can have in little time."""


def test_a_run_that_loses_a_worker_and_its_driver_ends_as_if_nothing_had_happened(
    head: Head, mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    faults = drawn(SEED, in_s3=False)
    assert [fault.kind for fault in faults] == ["worker killed", "driver killed"]
    with on_the_way_to(mlflow_server.url) as way:
        place = Place(tmp_path, head, server=way, storage=way)
        assert let_happen(place, mlflow_server, SEED, faults) == []
    [run] = (tmp_path / "runs").glob("quickstart-*")
    log = place.orch("logs", run.name)
    assert "The process of rank" in log
    assert "The driver's process was killed (SIGKILL" in log
    assert on_rays_page(head, run.name) == ["ABORTED", "FINISHED"]


def on_rays_page(head: Head, run: str) -> list[str]:
    """Return how each driver's training of a run has ended, by Ray's page of all trainings."""
    with urllib.request.urlopen(f"{head.url}/api/train/v2/runs/v1") as answer:
        shown = json.load(answer)["train_runs"]
    return sorted(one["status"] for one in shown if one["name"] == run)
