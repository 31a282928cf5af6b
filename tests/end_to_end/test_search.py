"""A search on a running cluster: its driver and its workers are killed, and nothing is lost."""

import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from orchestrator.job.load import load_job
from orchestrator.search.journal import SearchJournal
from orchestrator.search.records import Attempt, Began, Ended, Left, Record, Reported, TrialState
from orchestrator.search.standing import Standing
from orchestrator.store.run_folder import WEIGHTS, RunFolder
from orchestrator.store.search_folder import SearchFolder
from orchestrator.train.context import FolderContext
from orchestrator.train.ranks import Ranks
from orchestrator.train.worker import Run, Worker
from tests.mlflow_server import MlflowServer

pytestmark = pytest.mark.ray

QUICKSTART = Path(__file__).parents[2] / "jobs" / "quickstart.yaml"
SETTINGS = (
    *("data.limit_train=192", "data.limit_val=16", "training.epochs=2", "cluster.num_workers=1"),
    *("search.space.optimizer.lr={grid: [0.1, 1.0e+12, 0.05, 0.02]}", "search.metric=mean"),
    *("search.searcher={name: grid}", "search.scheduler={name: asha, factor: 2}"),
)
STEPS = [6, 12]
"""The steps at which the two epochs end: long enough for a kill to find every run at work."""

SECONDS = 240
"""How long the test waits for anything."""


def test_a_search_survives_its_driver_and_its_workers_and_leaves_the_best_job(
    orch: Any, cluster: str, output: Path, mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    options = [*SETTINGS, f"output={output}", f"tracking.uri={mlflow_server.url}"]
    sets = [word for option in options for word in ("--set", option)]
    started = orch("submit", QUICKSTART, "--address", cluster, "--detach", "--json", *sets)
    assert started.returncode == 0, started.stderr
    run = json.loads(started.stdout)["run"]
    search = SearchFolder(RunFolder(output / run))

    wait_until(search, lambda records: any(isinstance(one, Ended) for one in records))
    os.kill(pid_of_driver(cluster, run), signal.SIGKILL)
    wait_until(search, has_handed_on)
    before = Standing.of(of_first_driver(records_of(search)))
    for pid in pids_of_members(cluster):
        os.kill(pid, signal.SIGKILL)
    done = orch("wait", run)
    assert done.returncode == 0, done.stdout + done.stderr + orch("logs", run).stdout

    check_trials(search, before)
    check_records(search, orch.status(run)["mlflow"]["run_id"], mlflow_server)
    check_best(search, tmp_path)


def check_trials(search: SearchFolder, before: Standing) -> None:
    """No finished trial was begun again, every epoch is there once, a lost worker cost little."""
    records = records_of(search)
    standing = Standing.of(records)
    assert [trial.state for trial in standing.trials.values()].count(TrialState.FAILED) == 1
    assert "no longer" in standing.trials["t002"].reason
    assert standing.closed is not None
    assert standing.closed.reason == ""
    second = records[records.index(next(r for r in records if r == Attempt(r.time, 2))) :]
    again = [record.run for record in second if isinstance(record, Began)]
    assert not {trial.name for trial in before.ended} & set(again)
    assert len(again) > len(set(again)), "no run was begun again after its worker was killed"
    epochs = [(record.run, record.epoch) for record in records if isinstance(record, Reported)]
    assert len(epochs) == len(set(epochs))
    for trial in standing.trials.values():
        if trial.epoch == 0:
            continue
        lines = search.of_run(trial.name).metrics.path.read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == STEPS[: len(lines)]
    rows = search.rows.read().splitlines()
    assert len(rows) == 5
    assert {"lives.png", "best_by_hours.png"} <= set(search.figures.files())


def check_records(search: SearchFolder, parent: str, server: MlflowServer) -> None:
    """Each trial is a child of the search's run, with each metric once, and says how it ended."""
    standing = Standing.of(records_of(search))
    for trial in standing.trials.values():
        run_id = search.of_run(trial.name).record.read_json()["run_id"]
        seen = server.run(run_id)
        tags = {tag["key"]: tag["value"] for tag in seen["data"]["tags"]}
        assert tags["mlflow.parentRunId"] == parent
        assert tags["orch.end"].startswith(trial.state.value)
        assert (seen["info"]["status"] == "FINISHED") == (trial.state == TrialState.FINISHED)
        steps = [step for step, _ in server.series(run_id, "top1/2bit")]
        assert steps == STEPS[: trial.epoch]
    assert server.run(parent)["info"]["status"] == "FINISHED"
    assert {"trials.md", "trials.csv", "best.yaml", "figures"} <= server.artifacts(parent)


def check_best(search: SearchFolder, tmp_path: Path) -> None:
    """The best job trains the weights of the best trial, bit for bit."""
    best = Standing.of(records_of(search)).best
    assert best is not None
    again = RunFolder(tmp_path / "again")
    again.make()
    again.job.write(search.best.read())
    job = load_job(str(search.best)).job
    torch.set_num_threads(1)
    Worker(job, Run(again), FolderContext(again, Ranks(), keep=3)).run()
    expected, found = (
        load_file(folder.checkpoints()[-1] / WEIGHTS)
        for folder in (search.of_run(best.name), again)
    )
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def records_of(search: SearchFolder) -> list[Record]:
    return SearchJournal(search).read().records


def wait_until(search: SearchFolder, ready: Callable[[list[Record]], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not ready(records_of(search)):
        assert time.monotonic() < end, search.journal.path.read_text()
        time.sleep(0.02)


def has_handed_on(records: list[Record]) -> bool:
    """Whether a group of the second driver has left a run and is in the first epoch of its next."""
    drivers = [place for place, one in enumerate(records) if isinstance(one, Attempt)]
    second = records[drivers[1] :] if len(drivers) > 1 else []
    left = [place for place, one in enumerate(second) if isinstance(one, Left)]
    later = second[left[0] :] if left else []
    began = [one.run for one in later if isinstance(one, Began)]
    return bool(began) and began[-1] not in {one.run for one in later if isinstance(one, Reported)}


def of_first_driver(records: list[Record]) -> list[Record]:
    """Return what was recorded until the second driver began."""
    return records[: next(n for n, one in enumerate(records) if one == Attempt(one.time, 2))]


def pid_of_driver(cluster: str, run: str) -> int:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with urllib.request.urlopen(f"{cluster}/api/jobs/{run}") as answer:
            if driver := json.load(answer)["driver_info"]:
                return int(driver["pid"])
        time.sleep(0.1)
    raise AssertionError("The dashboard does not know the driver.")


def pids_of_members(cluster: str) -> list[int]:
    with urllib.request.urlopen(f"{cluster}/api/v0/actors?detail=true") as answer:
        actors = json.load(answer)["data"]["result"]["result"]
    alive = [one for one in actors if (one["class_name"], one["state"]) == ("Member", "ALIVE")]
    return [int(one["pid"]) for one in alive]
