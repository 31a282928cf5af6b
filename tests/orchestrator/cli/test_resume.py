"""Resuming runs against a fake cluster, and two commands that resume the same one."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from orchestrator.runs import registry
from tests.fake_cluster import FakeCluster
from tests.orchestrator.cli.conftest import Orch
from tests.orchestrator.cli.test_submit import shipped
from tests.orchestrator.statements import EVENTS, log_of


def ended_run(orch: Orch, cluster: FakeCluster) -> str:
    """Submit a run that is stopped; return its id."""
    cluster.new_job = {"statuses": ["STOPPED"], "logs": [log_of(*EVENTS[:2])]}
    orch("submit", "tiny.yaml", "--address", cluster.url, "--detach")
    return registry.find("last").run


def test_a_resumed_run_keeps_its_id_and_folder_and_counts_its_attempts(
    orch: Orch, cluster: FakeCluster
) -> None:
    run = ended_run(orch, cluster)
    cluster.packages.clear()
    done = orch("resume", "tiny", "--detach", "--set", "cluster.num_workers=4")
    assert done.exit_code == 0, done.stderr
    assert f"{run}.a2" in cluster.jobs
    sent = shipped(cluster)
    assert (sent["run"], sent["attempt"], sent["job"]["cluster"]["num_workers"]) == (run, 2, 4)
    assert [attempt.submission_id for attempt in registry.find(run).attempts] == [run, f"{run}.a2"]


def test_a_run_goes_by_another_name_when_it_is_resumed_with_one(
    orch: Orch, cluster: FakeCluster
) -> None:
    run = ended_run(orch, cluster)
    assert orch("resume", run, "--detach", "--set", "name=renamed").exit_code == 0
    assert (registry.find("renamed").run, registry.find(run).name) == (run, "renamed")


def test_how_far_a_run_had_come_goes_to_where_its_folder_must_be(
    orch: Orch, cluster: FakeCluster
) -> None:
    """With the driver where the folder is on another machine; here and in a bucket it is seen."""
    cluster.new_job = {"statuses": ["STOPPED"], "logs": [log_of(*EVENTS[:3])]}
    run = orch("submit", "tiny.yaml", "--address", cluster.url, "--detach").stdout.strip()
    orch("status", run)
    cluster.packages.clear()
    assert orch("resume", run, "--detach").exit_code == 0
    assert shipped(cluster)["reached"] == "epoch 1"
    cluster.jobs[f"{run}.a2"].statuses = ["STOPPED"]
    orch("status", run)
    registry.save(replace(registry.find(run), local=True))
    gone = orch("resume", run, "--detach")
    assert gone.exit_code == 2
    assert f"nothing of it is in {registry.find(run).run_dir}." in gone.stderr
    assert list(cluster.jobs) == [run, f"{run}.a2"]


def test_what_a_run_learns_cannot_be_changed_in_resuming(orch: Orch, cluster: FakeCluster) -> None:
    run = ended_run(orch, cluster)
    options = ("--set", "optimizer.lr=0.2", "--set", "training.epochs=3")
    done = orch("resume", run, *options)
    assert done.exit_code == 2
    assert "optimizer.lr: 0.05 -> 0.2" in done.stderr
    assert "training.epochs: 2 -> 3" in done.stderr
    assert list(cluster.jobs) == [run]


def test_a_run_cannot_move_to_another_output(orch: Orch, cluster: FakeCluster) -> None:
    run = ended_run(orch, cluster)
    done = orch("resume", run, "--set", "output=/elsewhere")
    assert done.exit_code == 2
    assert f"the folder of {run} is {registry.find(run).run_dir}, and a run cannot" in done.stderr
    assert orch("resume", run, "--detach", "--set", "output=runs").exit_code == 0
    assert list(cluster.jobs) == [run, f"{run}.a2"]


def test_a_refused_change_is_not_preceded_by_warnings_about_it(
    orch: Orch, cluster: FakeCluster
) -> None:
    cluster.new_job = {"statuses": ["STOPPED"]}
    run = orch("submit", "tiny.yaml", "--address", cluster.url, "--detach").stdout.strip()
    options = ("--set", "optimizer.warmup_epochs=50", "--address", cluster.url)
    done = orch("resume", run, *options)
    assert done.exit_code != 0
    assert "optimizer.warmup_epochs" in done.stderr
    assert "warning:" not in done.stderr


def test_a_run_that_is_active_cannot_be_resumed(orch: Orch, cluster: FakeCluster) -> None:
    cluster.new_job = {"statuses": ["RUNNING"]}
    orch("submit", "tiny.yaml", "--address", cluster.url, "--detach")
    done = orch("resume", "last")
    assert done.exit_code == 2
    assert "is still RUNNING" in done.stderr


def test_a_resume_that_the_cluster_refuses_leaves_the_record_as_it_was(
    orch: Orch, cluster: FakeCluster
) -> None:
    run = ended_run(orch, cluster)
    orch("status", run)
    before = registry.find(run)
    assert before.last.outcome is not None
    assert orch("resume", run, "--address", "http://127.0.0.1:1").exit_code == 3
    assert registry.find(run) == before


def test_of_two_that_resume_a_run_at_once_the_second_is_told_that_it_is_active(
    orch: Orch, cluster: FakeCluster, tmp_path: Path
) -> None:
    run = ended_run(orch, cluster)
    cluster.new_job = {"statuses": ["RUNNING"]}
    program = "from orchestrator.cli.main import cli; cli()"
    resumes = [
        subprocess.Popen(
            [*(sys.executable, "-c", program, "resume", run, "--detach"),
             *("--set", f"cluster.num_workers={number}")],
            cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        )
        for number in (3, 4)
    ]  # fmt: skip
    said = [resume.communicate(timeout=60)[1] for resume in resumes]
    codes = [resume.returncode for resume in resumes]
    assert sorted(codes) == [0, 2], said
    assert "is still RUNNING" in said[codes.index(2)]
    record = registry.find(run)
    assert [attempt.submission_id for attempt in record.attempts] == [run, f"{run}.a2"]
    assert record.job["cluster"]["num_workers"] == (3, 4)[codes.index(0)]


def test_a_run_that_was_resumed_from_another_machine_is_known_to_be_active(
    orch: Orch, cluster: FakeCluster
) -> None:
    run = ended_run(orch, cluster)
    orch("status", run)
    cluster.add(f"{run}.a2", metadata={"run": run, "submission": "theirs"})
    before = registry.find(run)
    done = orch("resume", run, "--detach", "--set", "cluster.num_workers=4")
    assert done.exit_code == 2
    assert f"{run} is already RUNNING, as {run}.a2" in done.stderr
    assert registry.find(run).job == before.job
    assert orch("status", run).stdout.startswith("RUNNING")


def test_a_finished_run_has_nothing_to_go_on_with(orch: Orch, cluster: FakeCluster) -> None:
    orch("submit", "tiny.yaml", "--address", cluster.url, "--follow")
    before = dict(cluster.jobs)
    done = orch("resume", "last")
    assert done.exit_code == 2
    assert "has finished" in done.stderr
    assert cluster.jobs == before
