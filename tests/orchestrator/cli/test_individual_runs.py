"""Individual runs, made by one command, and named as the reference of a job."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.events import Failed
from orchestrator.runs import registry
from tests.fake_cluster import FakeCluster
from tests.orchestrator.cli.conftest import Orch
from tests.orchestrator.statements import EVENTS, RECORD, STARTED, log_of


def test_each_bit_width_becomes_an_individual_job_of_its_own(
    orch: Orch, cluster: FakeCluster
) -> None:
    options = ("--each-bit-width", "--address", cluster.url, "--detach")
    done = orch("submit", "tiny.yaml", "--set", "reference.runs=tiny", *options)
    assert done.exit_code == 0, done.stderr
    records = [registry.find(run) for run in done.stdout.split()]
    assert [record.name for record in records] == [f"tiny_{bits}bit" for bits in (8, 6, 4, 2)]
    for record, bits in zip(records, (8, 6, 4, 2), strict=True):
        assert record.run in cluster.jobs
        assert record.job["method"]["name"] == "individual"
        assert record.job["quantizer"]["bit_widths"] == [bits]
        assert record.job["reference"] is None
    assert "orch submit tiny.yaml --set reference.runs=tiny" in done.stderr


def test_assignments_of_bit_widths_to_layers_are_no_part_of_individual_jobs(
    orch: Orch, cluster: FakeCluster
) -> None:
    options = ("--each-bit-width", "--address", cluster.url, "--dry-run", "--json")
    mix = "quantizer.assignment={mix: {default: 4, layer1.0.conv1: 8}}"
    done = orch("submit", "tiny.yaml", "--set", mix, *options)
    jobs = [one["job"] for one in json.loads(done.stdout)["jobs"]]
    assert [job["name"] for job in jobs] == [f"tiny_{bits}bit" for bits in (8, 6, 4, 2)]
    assert {len(job["quantizer"]["assignment"]) for job in jobs} == {0}


def test_a_job_without_bit_widths_has_no_individual_jobs(orch: Orch, cluster: FakeCluster) -> None:
    mixed = "{bit_widths: [], assignment: {a: {default: 4}, b: {default: 8}}}"
    options = ("--each-bit-width", "--address", cluster.url)
    done = orch("submit", "tiny.yaml", "--set", f"quantizer={mixed}", *options)
    assert done.exit_code == 2
    assert "--each-bit-width: the job has no bit-width to train alone" in done.stderr
    assert registry.load_all() == []


def test_followed_individual_jobs_are_one_document_and_the_first_failure_is_the_exit_code(
    orch: Orch, cluster: FakeCluster
) -> None:
    options = ("--each-bit-width", "--address", cluster.url, "--follow", "--json")
    done = orch("submit", "tiny.yaml", "--name", "mine", *options)
    printed = json.loads(done.stdout)["runs"]
    assert done.exit_code == 0
    assert [run["name"] for run in printed] == [f"mine_{bits}bit" for bits in (8, 6, 4, 2)]
    assert {run["state"] for run in printed} == {"SUCCEEDED"}
    failed = Failed(message="no data at /x", exit_code=2)
    cluster.new_job = {"statuses": ["FAILED"], "logs": [log_of(failed)], "exit_code": 2}
    assert orch("submit", "tiny.yaml", *options).exit_code == 2


def test_a_dry_run_of_each_bit_width_lists_all_jobs(orch: Orch, cluster: FakeCluster) -> None:
    options = ("--each-bit-width", "--address", cluster.url, "--dry-run")
    printed = json.loads(orch("submit", "tiny.yaml", *options, "--json").stdout)["jobs"]
    assert [facts["job"]["name"] for facts in printed] == [
        f"tiny_{bits}bit" for bits in (8, 6, 4, 2)
    ]
    assert orch("submit", "tiny.yaml", *options).stdout.count("would go to") == 4
    assert registry.load_all() == []


def individual_runs(orch: Orch, cluster: FakeCluster) -> None:
    """Let individual runs of `tiny` finish at every bit-width, recorded under ids of MLflow."""
    for bits in (8, 6, 4, 2):
        started = replace(STARTED, mlflow=replace(RECORD, run_id=f"{bits}a" * 16))
        cluster.new_job["logs"] = [log_of(started, *EVENTS[1:])]
        options = ("--set", "method.name=individual", "--set", f"quantizer.bit_widths=[{bits}]")
        name = f"tiny_{bits}bit"
        orch("submit", "tiny.yaml", *options, "--name", name, "--address", cluster.url, "--follow")


@pytest.mark.parametrize(
    "runs",
    [
        "tiny",
        "{8: tiny_8bit, 6: tiny_6, 4: tiny_4bit, 2: last}",
        f"{{8: {'8a' * 16}, 6: tiny_6bit, 4: tiny_4bit, 2: tiny_2bit, 1: not_needed}}",
    ],
)
def test_the_reference_is_named_as_orch_names_runs_and_kept_as_mlflow_does(
    orch: Orch, cluster: FakeCluster, runs: str
) -> None:
    individual_runs(orch, cluster)
    options = ("--set", f"reference.runs={runs}")
    ids = {f"{bits}bit": f"{bits}a" * 16 for bits in (8, 6, 4, 2)}
    done = orch("show", "tiny.yaml", *options, "--json")
    assert done.stderr == ""
    shown = json.loads(done.stdout)
    assert shown["job"]["reference"]["runs"] == ids
    done = orch("submit", "tiny.yaml", *options, "--address", cluster.url, "--detach")
    assert done.exit_code == 0, done.stderr
    assert registry.find("tiny").job["reference"]["runs"] == ids


def test_a_reference_that_does_not_fit_is_a_clear_mistake(orch: Orch, cluster: FakeCluster) -> None:
    individual_runs(orch, cluster)
    cluster.new_job = {"statuses": ["RUNNING"], "logs": [log_of(*EVENTS[:2])]}
    orch("submit", "tiny.yaml", "--name", "coquant", "--address", cluster.url, "--detach")
    options = ("--set", "method.name=individual", "--set", "quantizer.bit_widths=[2]")
    orch("submit", "tiny.yaml", *options, "--name", "going", "--address", cluster.url, "--detach")
    runs = "reference.runs={8: coquant, 6: tiny_8bit, 4: nobody, 2: going}"
    done = orch("submit", "tiny.yaml", "--set", runs, "--address", cluster.url)
    assert done.exit_code == 2
    for words in (
        "reference.runs.8bit: coquant-",
        "was trained by the method 'coquant', not 'individual'",
        "was trained at 8bit, not at 6bit",
        "reference.runs.4bit: No job is called 'nobody'",
        "is RUNNING; a reference is a run that has finished",
    ):
        assert words in done.stderr


def test_of_several_files_those_with_a_wrong_reference_are_named(
    orch: Orch, cluster: FakeCluster, tmp_path: Path
) -> None:
    individual_runs(orch, cluster)
    for name, bits in (("one", 8), ("two", 6), ("three", 8)):
        reference = f"reference: {{runs: {{8: tiny_{bits}bit, 6: tiny_{bits}bit}}}}"
        text = f"extends: tiny.yaml\nname: {name}\nquantizer: {{bit_widths: [8, 6]}}\n{reference}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    files = ("tiny.yaml", "one.yaml", "two.yaml", "three.yaml")
    done = orch("submit", *files, "--address", cluster.url, "--detach")
    assert done.exit_code == 2
    one, two = (
        line.split(" tiny_")[0] for line in done.stderr.splitlines() if "reference." in line
    )
    assert one == "one.yaml, three.yaml: reference.runs.6bit:"
    assert two == "two.yaml: reference.runs.8bit:"
    assert "tiny.yaml" not in done.stderr


def test_of_several_files_an_unknown_run_of_all_is_said_once(
    orch: Orch, cluster: FakeCluster, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(f"extends: tiny.yaml\nname: {name}\n")
    nobody = "reference.runs=nobody"
    done = orch("submit", "one.yaml", "two.yaml", "--set", nobody, "--address", cluster.url)
    assert done.exit_code == 2
    assert done.stderr.count("reference.runs.8bit: No job is called 'nobody_8bit'") == 1
    assert "one.yaml" not in done.stderr
