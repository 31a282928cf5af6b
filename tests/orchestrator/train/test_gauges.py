"""What is set for Prometheus by the events of a run, and what the dashboard file asks for."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.events import Restarted
from orchestrator.store.run_folder import RunFolder
from orchestrator.train import gauges
from orchestrator.train.gauges import GAUGES, Gauges
from tests.orchestrator.statements import EVALUATED, PROGRESS

DASHBOARD = Path(__file__).parents[3] / "infra" / "grafana" / "orch.json"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What Ray was told, by name and tags."""
    told: dict[str, float] = {}

    class Gauge:
        def __init__(self, name: str, _about: str, tags: tuple[str, ...]) -> None:
            self.name, self.tags = name, tags

        def set(self, value: float, tags: dict[str, str]) -> None:
            assert tags.keys() == set(self.tags)
            told[" ".join([self.name, *tags.values()])] = value

    monkeypatch.setattr("ray.util.metrics.Gauge", Gauge)
    return told


def test_events_become_gauges_by_operating_point(
    shown: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gauges, "LOOK_SECONDS", 0.0)
    seen = Gauges(RunFolder(tmp_path / "mine"))
    loss = {"8bit": 1.5, "2bit": None}
    seen.hear(replace(PROGRESS, loss=loss, step_seconds=0.25, share_done=0.5))
    assert shown["orch_step_seconds mine"] == 0.25
    assert shown["orch_share_done mine"] == 0.5
    assert shown["orch_samples_per_second mine"] == PROGRESS.samples_per_second
    assert shown["orch_loss mine 8bit"] == 1.5
    assert "orch_loss mine 2bit" not in shown
    assert "orch_checkpoint_timestamp_seconds mine" not in shown
    (tmp_path / "mine" / "checkpoint_p01_e0000_s000001").mkdir(parents=True)
    seen.hear(PROGRESS)
    assert shown["orch_checkpoint_timestamp_seconds mine"] > 1e9
    seen.hear(EVALUATED)
    assert shown["orch_metric_percent mine 8bit"] == EVALUATED.metric["8bit"]
    seen.hear(Restarted(count=3, reason="Killed."))
    assert shown["orch_restarts mine"] == 3


def test_what_a_trial_says_is_not_said_of_its_search(
    shown: dict[str, float], tmp_path: Path
) -> None:
    Gauges(RunFolder(tmp_path)).hear(replace(PROGRESS, trial="t001"))
    assert shown == {}


def test_the_dashboard_asks_for_each_gauge_and_for_no_other() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    assert set(re.findall(r"ray_(orch_\w+)", asked)) == GAUGES.keys()
