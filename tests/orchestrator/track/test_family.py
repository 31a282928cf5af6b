"""A search in MLflow: what ties its runs together, and what its page shows."""

from pathlib import Path

import pytest
import yaml

from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder
from orchestrator.track import delivery, family, recorder
from orchestrator.track.run import TrackedRun
from tests.mlflow_server import MlflowServer

NAME = "digits-20260102-030405-a1b2"


@pytest.fixture
def search(tmp_path: Path) -> SearchFolder:
    """The folder of a search of one trial, which has ended."""
    search = SearchFolder(RunFolder(tmp_path / NAME))
    search.of_run("t001").make()
    space = {"method.lambda": {"uniform": [0, 1]}, "optimizer.clip.lr": {"grid": [1, 2]}}
    search.run.job.write(yaml.safe_dump({"search": {"space": space}}))
    return search


@pytest.fixture
def parent(search: SearchFolder, mlflow_server: MlflowServer) -> TrackedRun:
    return recorder.open_run(mlflow_server.url, "families", NAME, search.run)


@pytest.fixture
def child(search: SearchFolder, parent: TrackedRun) -> TrackedRun:
    folder = search.of_run("t001")
    return recorder.open_run(parent.uri, "families", folder.name, folder, family.tags(folder))


def tags_of(server: MlflowServer, run: TrackedRun) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in server.run(run.run_id)["data"]["tags"]}


def test_a_trial_is_a_child_of_its_search_with_a_name_that_begins_with_its_own(
    parent: TrackedRun, child: TrackedRun, mlflow_server: MlflowServer
) -> None:
    tags = tags_of(mlflow_server, child)
    assert tags["mlflow.parentRunId"] == parent.run_id
    assert (tags["orch.search"], tags["orch.trial"]) == (NAME, "t001")
    assert tags["orch.run"] == f"{NAME}.t001"
    assert mlflow_server.run(child.run_id)["info"]["run_name"] == "t001 a1b2 digits"


def test_other_runs_have_no_family(tmp_path: Path) -> None:
    for path in (tmp_path / "runs" / "a", tmp_path / "trials" / "a.t001"):
        assert family.tags(RunFolder(path)) == {}
        assert family.searched(RunFolder(path), {"seed": 1}) == {}
        assert family.about(RunFolder(path)) == ""


def test_the_searched_values_of_a_trial_are_named_with_their_whole_keys(
    search: SearchFolder,
) -> None:
    job = {"method": {"lambda": 0.5, "p1": 0.3}, "optimizer": {"clip": {"lr": 2}}}
    found = family.searched(search.of_run("t001"), job)
    assert found == {"method.lambda": "0.5", "optimizer.clip.lr": "2"}


def test_the_record_of_a_trial_says_how_it_ended_however_often_that_is_sent(
    child: TrackedRun, mlflow_server: MlflowServer
) -> None:
    for _ in range(2):
        family.mark_end(child, "stopped early after epoch 3", 5.0, 120, 41.25)
    assert tags_of(mlflow_server, child)["orch.end"] == "stopped early after epoch 3"
    assert mlflow_server.series(child.run_id, "objective") == [(120, 41.25)]


def test_the_page_of_a_search_has_its_text_its_files_and_its_best_value(
    search: SearchFolder, parent: TrackedRun, mlflow_server: MlflowServer
) -> None:
    search.page.write("| trial | 8bit |\n")
    search.table.write("| trial | 8bit |\n")
    search.rows.write("trial\n")
    search.figures.make()
    search.figures.write("lives.csv", b"trial\n")
    family.show(search)
    family.note_best(search, {1: 41.25})
    delivery.deliver_all(parent, search.run, pytest.fail)
    text = tags_of(mlflow_server, parent)["mlflow.note.content"]
    assert text.startswith("| trial | 8bit |")
    assert {"trials.md", "trials.csv", "figures"} <= mlflow_server.artifacts(parent.run_id)
    assert mlflow_server.series(parent.run_id, "best_so_far") == [(1, 41.25)]
