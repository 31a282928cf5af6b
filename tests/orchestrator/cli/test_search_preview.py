"""A dry run of a search: all that it would do, and nothing is started, against a fake cluster."""

import json
import time
from pathlib import Path

import pytest

from orchestrator.runs import registry
from orchestrator.runs.registry import Attempt, Record
from tests.fake_cluster import NODE, FakeCluster
from tests.orchestrator.cli.conftest import Orch

SEARCH = """
search:
  space:
    method.lambda: {loguniform: [1e-4, 1.0], prior: {width: 10}}
    method.p1: {uniform: [0.25, 0.75], step: 0.25}
    optimizer.momentum: {choice: [0.5, 0.9], when: {optimizer.name: sgd}}
  metric: mean
  trials: 6
  seeds: 2
  scheduler: {name: asha}
  searcher: {name: prior}
"""


@pytest.fixture(autouse=True)
def file(tmp_path: Path, surroundings: None) -> Path:
    file = tmp_path / "search.yaml"
    file.write_text((tmp_path / "tiny.yaml").read_text() + SEARCH)
    return file


def test_the_space_and_the_first_trials_are_shown_and_nothing_is_started(
    orch: Orch, cluster: FakeCluster
) -> None:
    done = orch("submit", "search.yaml", "--address", cluster.url, "--dry-run")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert (
        "search         6 trials with 2 seeds of 2 epochs at most, mean (max), searcher prior, "
        "scheduler asha"
    ) in lines
    rows = {line.split("  ")[0]: line.split() for line in lines if line}
    assert rows["method.lambda"][1:] == [
        "loguniform", "0.0001", "to", "1", "0.001,", "width", "10", "always",
    ]  # fmt: skip
    assert " ".join(rows["method.p1"][1:]) == "uniform 0.25 to 0.75, step 0.25 - always"
    momentum = " ".join(rows["optimizer.momentum"][1:])
    assert momentum == "choice 0.5, 0.9 - optimizer.name is sgd"
    trials = [line.split(" ")[0] for line in lines if line.startswith("t00")]
    assert trials == ["t001", "t002", "t003", "t004", "t005"]
    assert any(line.startswith("t001           lambda 0.001, p1 ") for line in lines)
    assert "at once        2 runs of 2 workers each (1 node, 4 CPUs, 0 GPUs)" in lines
    assert "takes          no former run of this job: hours unknown" in lines
    assert any(line.startswith("corners") for line in lines)
    assert not any(asked.startswith(("POST", "PUT")) for asked in cluster.asked)
    assert registry.load_all() == []


def test_a_former_run_of_the_job_tells_the_hours(
    orch: Orch, cluster: FakeCluster, tmp_path: Path
) -> None:
    asked = ("submit", "search.yaml", "--address", cluster.url, "--dry-run", "--json")
    job = json.loads(orch(*asked).stdout)["job"]
    former = Record(
        run="tiny-1",
        name="tiny",
        job=job | {"search": None, "method": job["method"] | {"lambda": 0.5}},
        job_file="tiny.yaml",
        address=cluster.url,
        local=False,
        run_dir=str(tmp_path / "runs" / "tiny-1"),
        attempts=(Attempt("tiny-1", time.time()),),
    )
    registry.save(former)
    former.folder.make()
    ends = ({"step": n, "time_ms": 60_000 * n, "metrics": {"epoch": n}} for n in (1, 2, 3))
    former.folder.metrics.path.write_text("".join(f"{json.dumps(end)}\n" for end in ends))
    shown = orch(*asked[:-1]).stdout.splitlines()
    assert (
        "takes          about 12m00s at most, less with asha: 6 trials x 2 seeds x 2 epochs x "
        "60.0 s, 2 at once (measured by tiny-1)"
    ) in shown
    search = json.loads(orch(*asked).stdout)["search"]
    assert search["duration"] == {"hours": 0.2, "epoch_seconds": 60.0, "measured_by": "tiny-1"}
    assert search["runs_at_once"] == 2
    assert [trial["trial"] for trial in search["first"]][-1] == "t005"
    assert search["first"][0]["settings"]["method.lambda"] == pytest.approx(0.001)


def test_a_search_may_be_kept_from_using_all_of_a_cluster(orch: Orch, cluster: FakeCluster) -> None:
    options = ("--set", "search.at_once=1", "--set", "search.seeds=1")
    done = orch("submit", "search.yaml", *options, "--address", cluster.url, "--dry-run")
    assert "at once        1 run of 2 workers each (1 node, 4 CPUs, 0 GPUs)" in done.stdout


@pytest.mark.parametrize(
    ("gpus", "setting", "runs"), [(4, "auto", 2), (1, "auto", 4), (4, "0", 4), (2, "1", 1)]
)
def test_runs_that_take_gpus_fit_as_there_are_gpus(
    orch: Orch, cluster: FakeCluster, gpus: int, setting: str, runs: int
) -> None:
    cluster.nodes = [NODE | {"resources_total": {"CPU": 8.0, "GPU": float(gpus)}}]
    options = ("--set", f"cluster.gpus_per_worker={setting}", "--json", "--dry-run")
    done = orch("submit", "search.yaml", *options, "--address", cluster.url)
    assert json.loads(done.stdout)["search"]["runs_at_once"] == runs


def test_a_budget_is_shown(orch: Orch, cluster: FakeCluster) -> None:
    options = ("--set", "search.budget={hours: 1.5, epochs: 9}", "--dry-run")
    done = orch("submit", "search.yaml", *options, "--address", cluster.url)
    assert "ends           after 1.5 hours or 9 epochs in any case" in done.stdout


def test_where_the_cluster_does_not_answer_the_space_is_shown_all_the_same(orch: Orch) -> None:
    done = orch("submit", "search.yaml", "--address", "http://127.0.0.1:1", "--dry-run")
    assert done.exit_code == 3
    assert "at once        not known, the cluster does not answer" in done.stdout
    assert "takes          no former run of this job: hours unknown" in done.stdout


def test_a_plain_job_has_no_search_to_show(orch: Orch, cluster: FakeCluster) -> None:
    done = orch("submit", "tiny.yaml", "--address", cluster.url, "--dry-run", "--json")
    assert json.loads(done.stdout)["search"] is None
