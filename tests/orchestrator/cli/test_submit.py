"""Submitting, following and resuming against a fake cluster."""

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import follow
from orchestrator.cluster import gpus, local
from orchestrator.cluster.client import ClusterClient
from orchestrator.events import Failed
from orchestrator.runs import registry, submission
from orchestrator.state import State
from orchestrator.store.place import folder_at
from orchestrator.store.run_folder import WholeFile
from orchestrator.strict_json import dumps
from orchestrator.typed_json import plain
from tests.fake_cluster import NODE, FakeCluster
from tests.orchestrator.cli.conftest import Orch, Submitted
from tests.orchestrator.statements import EVENTS, FINISHED, log_of


def shipped(cluster: FakeCluster) -> dict[str, Any]:
    """Return the run.json of the only package on the cluster."""
    (data,) = cluster.packages.values()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return dict(json.loads(archive.read("run.json")))


def test_a_detached_job_is_submitted_recorded_and_named(
    orch: Orch, cluster: FakeCluster, tmp_path: Path
) -> None:
    done = orch("submit", "tiny.yaml", "--address", cluster.url, "--detach")
    assert done.exit_code == 0
    record = registry.find("tiny")
    assert done.stdout == f"{record.run}\n"
    assert record.run_dir == str(tmp_path / "runs" / record.run)
    job = cluster.jobs[record.run].body
    python = "python -IS orchestrator/warm/python.py"
    assert job["entrypoint"].startswith("exec python -m orchestrator.train.supervise run.json ")
    assert job["entrypoint"].endswith(f" {python} -m orchestrator.train.launch")
    assert job["runtime_env"]["py_executable"] == python
    assert job["metadata"]["run_dir"] == record.run_dir
    run = shipped(cluster)
    assert (run["run"], run["run_dir"], run["attempt"]) == (record.run, record.run_dir, 1)
    assert run["job"] == record.job


def test_a_job_in_a_bucket_such_as_the_best_of_a_search_is_submitted(
    orch: Orch, cluster: FakeCluster, s3: str
) -> None:
    WholeFile(folder_at(s3), "best.yaml").write(Path("tiny.yaml").read_text())
    done = orch("submit", f"{s3}/best.yaml", "--address", cluster.url, "--detach")
    assert done.exit_code == 0, done.stderr
    assert registry.find("tiny").job_file == f"{s3}/best.yaml"
    done = orch("submit", f"{s3}/none.yaml", "--address", cluster.url, "--detach")
    assert (done.exit_code, done.stderr) == (2, f"{s3}/none.yaml: there is no such object.\n")


def test_mistakes_of_a_job_in_a_bucket_are_named_by_its_address(orch: Orch, s3: str) -> None:
    wrong = Path("tiny.yaml").read_text() + "seed: many\nextends: base.yaml\n"
    WholeFile(folder_at(s3), "wrong.yaml").write(wrong)
    line = wrong[: wrong.index("extends")].count("\n") + 1
    for command in ("validate", "submit", "show", "sizes"):
        Path("base.yaml").unlink(missing_ok=True)
        done = orch(command, f"{s3}/wrong.yaml")
        assert done.exit_code == 2, done.output
        expected = (
            f"{s3}/wrong.yaml:{line}  extends: there is no file {Path('base.yaml').absolute()}."
        )
        assert done.stderr.startswith(expected), done.stderr
        Path("base.yaml").write_text("{}")
        done = orch(command, f"{s3}/wrong.yaml")
        assert f"{s3}/wrong.yaml:{line - 1}  seed: " in done.stderr
    done = orch("validate", f"{s3}/none.yaml", "s3://models", "tiny.yaml")
    assert done.stdout == "tiny.yaml: ok\n"
    assert f"{s3}/none.yaml: there is no such object.\ns3://models: expected a file" in done.stderr


def test_what_a_job_in_a_bucket_means_is_shown_with_its_address(orch: Orch, s3: str) -> None:
    WholeFile(folder_at(s3), "best.yaml").write(Path("tiny.yaml").read_text())
    origins = json.loads(orch("show", f"{s3}/best.yaml", "--json").stdout)["origins"]
    assert origins["name"] == f"{s3}/best.yaml:2"


def test_json_of_a_detached_job_is_all_there_is_on_standard_output(
    orch: Orch, cluster: FakeCluster
) -> None:
    done = orch("submit", "tiny.yaml", "--address", cluster.url, "--json")
    printed = json.loads(done.stdout)
    assert printed["run"] in cluster.jobs
    assert (printed["state"], printed["result"]) == ("PENDING", None)


def test_a_followed_job_ends_with_its_table_and_links(orch: Orch, cluster: FakeCluster) -> None:
    done = orch("submit", "tiny.yaml", "--address", cluster.url, "--follow")
    assert done.exit_code == 0
    assert done.stdout.startswith("| 8bit | 91.00 |\n")
    assert "mlflow ui --backend-store-uri sqlite:///x" in done.stdout
    assert "http://127.0.0.1:5000/#/experiments/1/runs/0" in done.stdout
    assert "epoch 1/2  step 3/9  12.5 samples/s  ETA 1m05s  loss 8bit 2.250" in done.stderr
    assert "epoch 1: top1 8bit 91.0" in done.stderr
    assert "warning: one broken file" in done.stderr
    assert "Running entrypoint" not in done.output


def test_json_of_a_followed_job_is_one_document_with_its_result(
    orch: Orch, cluster: FakeCluster
) -> None:
    done = orch("submit", "tiny.yaml", "--address", cluster.url, "--follow", "--json")
    printed = json.loads(done.stdout)
    assert (printed["state"], printed["exit_code"]) == ("SUCCEEDED", 0)
    assert printed["result"]["rows"] == plain(FINISHED.rows)


@pytest.mark.parametrize("code", [1, 2, 3])
def test_a_followed_job_that_fails_gives_its_exit_code_and_reason(
    orch: Orch, cluster: FakeCluster, code: int
) -> None:
    failed = Failed(message="no data at /x", exit_code=code)
    cluster.new_job = {"statuses": ["FAILED"], "logs": [log_of(failed)], "exit_code": code}
    done = orch("submit", "tiny.yaml", "--address", cluster.url, "--follow")
    assert done.exit_code == code
    assert done.stdout.startswith("FAILED: no data at /x\n")


def test_a_job_that_dies_without_a_word_shows_the_end_of_its_log(
    orch: Orch, cluster: FakeCluster
) -> None:
    cluster.new_job = {"statuses": ["FAILED"], "logs": ["ImportError: x\n"], "exit_code": 1}
    done = orch("submit", "tiny.yaml", "--address", cluster.url, "--follow")
    assert done.exit_code == 1
    assert "  ImportError: x" in done.stderr


def test_an_interrupted_follower_says_how_to_come_back(
    orch: Orch, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(follow, "_state", interrupted)
    done = orch("submit", "tiny.yaml", "--address", cluster.url, "--follow")
    record = registry.find("last")
    assert done.exit_code == 130
    assert f"`orch logs -f {record.run}` follows it" in done.stderr
    assert "POST /api/jobs/ " not in [asked for asked in cluster.asked if "stop" in asked]


def test_who_follows_a_run_that_is_stopped_after_its_last_step_sees_it_finished(
    orch: Orch, cluster: FakeCluster, submitted: Submitted
) -> None:
    record = registry.find(submitted(*EVENTS[:2]))
    record.folder.make()
    record.folder.result.write(dumps(plain(FINISHED)))
    cluster.jobs[record.run].statuses = ["RUNNING", "STOPPED"]
    ended = follow.follow(record)
    assert (ended.state, follow.conclude(ended)) == (State.SUCCEEDED, 0)
    assert orch("status", record.run).stdout.startswith("SUCCEEDED")


def test_a_dry_run_in_json_lists_each_number_of_workers(orch: Orch, cluster: FakeCluster) -> None:
    options = ("--address", cluster.url, "--dry-run", "--json")
    printed = json.loads(orch("submit", "tiny.yaml", *options).stdout)
    by_workers = {row["num_workers"]: row for row in printed["workers"]}
    assert by_workers[8] == {
        "global_batch": 24,
        "num_workers": 8,
        "per_worker": 3,
        "micro_batch": 3,
        "accumulation": 1,
    }
    assert "refused" in by_workers[7]
    assert (printed["cluster"], printed["problem"]) == (f"{cluster.url} (--address)", None)


def test_a_mistake_in_the_file_is_reported_before_any_request(
    orch: Orch, cluster: FakeCluster
) -> None:
    done = orch("submit", "tiny.yaml", "--address", cluster.url, "--set", "optimizer.lrr=1")
    assert (done.exit_code, cluster.asked) == (2, [])
    assert "optimizer.lrr" in done.stderr


def test_a_job_that_can_never_fit_is_refused_and_not_recorded(
    orch: Orch, cluster: FakeCluster
) -> None:
    options = ("--set", "cluster.loader_workers=2")
    done = orch("submit", "tiny.yaml", "--address", cluster.url, *options)
    assert done.exit_code == 2
    assert "--set cluster.loader_workers=1" in done.stderr
    assert (registry.load_all(), cluster.packages) == ([], {})


def test_an_unreachable_cluster_is_exit_code_three_and_no_record(orch: Orch) -> None:
    done = orch("submit", "tiny.yaml", "--address", "http://127.0.0.1:1")
    assert (done.exit_code, registry.load_all()) == (3, [])
    assert "http://127.0.0.1:1 does not answer" in done.stderr


def test_a_submission_that_the_cluster_refuses_leaves_no_record(
    orch: Orch, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = submission.ClusterClient.upload

    def upload_then_break(self: submission.ClusterClient, name: str, data: bytes) -> str:
        uri = upload(self, name, data)
        cluster.failures = [500]
        return uri

    monkeypatch.setattr(submission.ClusterClient, "upload", upload_then_break)
    done = orch("submit", "tiny.yaml", "--address", cluster.url)
    assert (done.exit_code, registry.load_all()) == (3, [])


def test_missing_data_is_reported_at_once_for_a_cluster_on_this_machine(
    orch: Orch, cluster: FakeCluster, tmp_path: Path
) -> None:
    cluster.nodes = [NODE]
    done = orch("submit", "tiny.yaml", "--address", cluster.url)
    assert done.exit_code == 2
    assert str(tmp_path / "nowhere") in done.stderr
    assert (registry.load_all(), cluster.jobs) == ([], {})


def test_missing_data_is_reported_before_a_local_cluster_is_started(
    orch: Orch, tmp_path: Path
) -> None:
    done = orch("submit", "tiny.yaml")
    assert done.exit_code == 2
    assert str(tmp_path / "nowhere") in done.stderr
    assert "Starting" not in done.stderr


def test_a_dead_local_head_ends_the_following_at_once(
    orch: Orch, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.new_job = {"statuses": ["RUNNING"]}
    orch("submit", "tiny.yaml", "--address", cluster.url, "--detach")
    record = replace(registry.find("last"), local=True, address="http://127.0.0.1:1")
    monkeypatch.setattr(follow.view, "client_of", _first_a_client_then_none())
    assert follow.follow(record).state is State.LOST


def _first_a_client_then_none() -> Any:
    clients = iter([ClusterClient("http://127.0.0.1:1")])
    return lambda *_: next(clients, None)


def test_a_gpu_that_is_not_here_is_missed_before_a_cluster_is_started(
    orch: Orch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(_: object) -> None:
        raise AssertionError("a head was started")

    monkeypatch.setattr(local, "ensure", started)
    monkeypatch.setattr(gpus, "count", lambda: 0)
    done = orch("submit", "tiny.yaml", "--set", "cluster.gpus_per_worker=1")
    assert done.exit_code == 2
    assert "--set cluster.gpus_per_worker=0" in done.stderr
