"""Searches go on, and their trials by themselves, once they have ended, against a fake cluster."""

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from orchestrator.job.load import load_job
from orchestrator.run_facts import Events
from orchestrator.runs import registry
from orchestrator.runs.registry import Record
from tests.fake_cluster import FakeCluster
from tests.orchestrator import journals
from tests.orchestrator.cli.conftest import Orch
from tests.orchestrator.statements import SEARCHED, SEARCHING, STARTED, log_of


@pytest.fixture
def trial(search: Record, tmp_path: Path) -> Record:
    """A trial that was stopped early, with the job in its folder."""
    journals.write(search, journals.half_done())
    record = registry.find("digits.t002")
    record.folder.make()
    job = load_job(tmp_path / "tiny.yaml", ["seed=7"]).job.as_dict()
    record.folder.job.write(yaml.safe_dump(job))
    return record


def test_a_trial_goes_on_from_its_folder_as_a_plain_run(
    orch: Orch, trial: Record, cluster: FakeCluster
) -> None:
    cluster.jobs["digits-1"].statuses = ["SUCCEEDED"]
    done = orch("resume", "digits.t002", "--detach")
    assert done.exit_code == 0, done.output
    job = cluster.jobs["digits-1.t002.a2"].body
    assert job["entrypoint"].endswith("-m orchestrator.train.launch")
    [package] = cluster.packages.values()
    sent = json.loads(zipfile.ZipFile(io.BytesIO(package)).read("run.json"))
    assert (sent["run"], sent["run_dir"], sent["attempt"]) == (trial.run, trial.run_dir, 2)
    assert sent["job"]["seed"] == 7
    status = orch("status", "digits.t002").stdout.splitlines()
    assert status[0] == "PENDING  digits-1.t002"


@pytest.mark.parametrize("command", ["resume", "sync"])
def test_a_search_waits_for_a_trial_that_is_trained_by_itself(
    orch: Orch, trial: Record, cluster: FakeCluster, command: str
) -> None:
    cluster.jobs["digits-1"].statuses = ["STOPPED"]
    assert orch("resume", trial.run, "--detach").exit_code == 0
    done = orch(command, "digits")
    assert done.exit_code == 2
    assert "digits-1.t002 is PENDING, by itself; wait for its end" in done.stderr
    assert sorted(cluster.jobs) == ["digits-1", "digits-1.t002.a2"]


def test_a_trial_of_a_search_that_runs_is_not_resumed(
    orch: Orch, trial: Record, cluster: FakeCluster
) -> None:
    done = orch("resume", "digits.t002")
    assert done.exit_code == 2
    assert "digits-1 is still RUNNING; a trial is resumed by itself once its search" in done.stderr
    assert list(cluster.jobs) == ["digits-1"]


def test_a_search_that_has_finished_is_extended(
    orch: Orch, cluster: FakeCluster, tmp_path: Path
) -> None:
    section = "{space: {method.p1: {uniform: [0.2, 0.8]}}, metric: mean, trials: 4}"
    (tmp_path / "s.yaml").write_text(f"{(tmp_path / 'tiny.yaml').read_text()}search: {section}\n")
    cluster.new_job = {"statuses": ["SUCCEEDED"], "logs": [log_of(SEARCHED)]}
    orch("submit", "s.yaml", "--address", cluster.url, "--detach")
    assert orch("resume", "tiny").exit_code == 2
    done = orch("resume", "tiny", "--set", "search.trials=6", "--detach")
    assert done.exit_code == 0, done.output
    job = registry.find("tiny")
    assert job.job["search"]["trials"] == 6
    assert (
        cluster.jobs[job.last.submission_id]
        .body["entrypoint"]
        .endswith("-m orchestrator.trials.launch")
    )


def test_a_search_that_goes_on_after_its_end_is_not_done(orch: Orch, search: Record) -> None:
    search.folder.make()
    better = replace(SEARCHING.best, trial="t030", value=99.5)
    now = replace(SEARCHING, trials=48, best=better, epochs_done=216, epochs_planned=432)
    for event in (STARTED, SEARCHED, replace(STARTED, attempt=2), now):
        Events(search.folder).keep(event)
    shown = json.loads(orch("status", "digits", "--json").stdout)
    assert (shown["state"], shown["share_done"], shown["searched"]) == ("RUNNING", 0.5, None)
    assert "delta_b 99.50 t030" in orch("list").stdout
