"""Named clusters from the command line: where a job goes, with which settings and whose token."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from orchestrator.cli.completion import complete_cluster
from orchestrator.cluster import named
from orchestrator.runs import registry
from tests.fake_cluster import FakeCluster
from tests.orchestrator.cli.conftest import JOB, Orch

TOKEN = "s3cret-t0ken"


@pytest.fixture
def lab(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[FakeCluster]:
    """A cluster that asks for a token, named lab, and a job that does not say where it writes."""
    cluster.token = TOKEN
    cluster.new_job = {"statuses": ["RUNNING"]}
    monkeypatch.setenv("LAB_TOKEN", TOKEN)
    write(
        f"lab:\n  address: {cluster.url}\n  token_env: LAB_TOKEN\n  output: /shared/runs\n"
        "  cluster: {num_workers: 1, max_batch_per_worker: 2}\n"
    )
    (tmp_path / "tiny.yaml").write_text(
        JOB.replace("output: runs\n", "").replace("{num_workers: 2, ", "{")
    )
    return cluster


def write(text: str) -> None:
    named.file().parent.mkdir(parents=True, exist_ok=True)
    named.file().write_text(text)


def submit(orch: Orch, *options: str) -> registry.Record:
    done = orch("submit", "tiny.yaml", "--cluster", "lab", "--detach", *options)
    assert done.exit_code == 0, done.stderr
    return registry.find("last")


def test_a_name_gives_the_address_the_token_and_what_the_job_does_not_say(
    orch: Orch, lab: FakeCluster
) -> None:
    record = submit(orch)
    assert (record.address, record.cluster, record.local) == (lab.url, "lab", False)
    assert record.job["output"] == "/shared/runs"
    assert record.job["cluster"]["num_workers"] == 1
    assert record.job["cluster"]["max_batch_per_worker"] == 4
    by_hand = submit(orch, "--set", "output=/mine")
    assert by_hand.job["output"] == "/mine"
    looked = orch("submit", "tiny.yaml", "--cluster", "lab", "--dry-run").stdout
    assert f"would go to    {lab.url} (--cluster lab)" in looked
    assert "would write    /shared/runs/<run>" in looked


def test_later_commands_use_the_token_which_is_written_nowhere(
    orch: Orch, lab: FakeCluster, tmp_path: Path
) -> None:
    run = submit(orch).run
    assert orch("status", run).stdout.startswith(f"RUNNING  {run}")
    [listed] = json.loads(orch("list", "--json").stdout)
    assert (listed["state"], listed["cluster"]) == ("RUNNING", "lab")
    assert orch("logs", run).exit_code == 0
    assert orch("stop", run).stdout.startswith("STOPPED")
    lab.new_job = {"statuses": ["RUNNING"]}
    assert orch("resume", run, "--detach").exit_code == 0
    assert f"{run}.a2" in lab.jobs
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert [file for file in written if TOKEN in file.read_text()] == []
    assert TOKEN not in json.dumps(lab.jobs[run].body)


def test_a_token_that_is_missing_is_named_by_its_variable(
    orch: Orch, lab: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submit(orch).run
    monkeypatch.delenv("LAB_TOKEN")
    refused = orch("submit", "tiny.yaml", "--cluster", "lab", "--detach")
    assert (refused.exit_code, len(lab.jobs)) == (3, 1)
    assert "Set LAB_TOKEN, which `token_env` of the cluster 'lab' names." in refused.stderr
    for command in (("status", run), ("list",)):
        done = orch(*command)
        assert (done.exit_code, "Set LAB_TOKEN" in done.stderr) == (0, True)


def test_a_mistake_in_the_file_or_the_name_ends_the_command_before_anything_starts(
    orch: Orch, lab: FakeCluster
) -> None:
    unknown = orch("submit", "tiny.yaml", "--cluster", "leb")
    assert (unknown.exit_code, "Did you mean lab?" in unknown.stderr) == (2, True)
    write("lab: {adress: x}\nother: {address: 'ftp://x'}\n")
    wrong = orch("submit", "tiny.yaml", "--cluster", "lab")
    assert wrong.exit_code == 2
    for begin in (":1  lab: has no address", ":1  lab.adress: ", ":2  other.address: "):
        assert begin in wrong.stderr
    failed = orch("doctor")
    assert "fail  clusters" in failed.stdout


def test_a_setting_of_the_file_that_no_job_can_have_is_a_mistake_with_its_line(
    orch: Orch, lab: FakeCluster
) -> None:
    write(f"lab:\n  address: {lab.url}\n  cluster: {{num_workers: many}}\n")
    wrong = orch("submit", "tiny.yaml", "--cluster", "lab")
    assert wrong.exit_code == 2
    assert f"{named.file()}:3  cluster.num_workers: " in wrong.stderr


def test_the_doctor_looks_at_a_named_cluster(orch: Orch, lab: FakeCluster) -> None:
    done = orch("doctor", "--cluster", "lab")
    assert f"ok    cluster     {lab.url}: Ray 2.60.0, Python 3." in done.stdout
    assert "ok    clusters    lab in " in done.stdout
    lab.python = "3.12.99"
    assert "warn  cluster" in orch("doctor", "--cluster", "lab").stdout


def test_names_of_clusters_complete(lab: FakeCluster) -> None:
    context, parameter = click.Context(click.Command("x")), click.Argument(["x"])
    assert complete_cluster(context, parameter, "l") == ["lab"]
    assert complete_cluster(context, parameter, "x") == []
