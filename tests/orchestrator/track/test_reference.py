"""Individual runs in a real database, as what Delta_B is compared with."""

from pathlib import Path

import pytest

from orchestrator.errors import Unreachable, UsageError
from orchestrator.store.run_folder import RunFolder
from orchestrator.track import recorder, reference
from tests.orchestrator.track.recorded import record


@pytest.fixture
def uri(database: str) -> str:
    return database


def individual(uri: str, path: Path, point: str, value: float, **params: str) -> str:
    """Record a finished run at an operating point; return its id."""
    folder = RunFolder(path)
    folder.make()
    run = recorder.open_run(uri, "tests", folder.name, folder)
    record(run, folder, 0, 1, {f"top1/{point}": value})
    recorder.describe(run, {"method": "individual", "points": point} | params, {})
    recorder.close_run(run, folder, "FINISHED")
    return run.run_id


def test_individual_runs_are_a_reference(uri: str, tmp_path: Path) -> None:
    runs = {
        "8bit": individual(uri, tmp_path / "a", "8bit", 90.0),
        "2bit": individual(uri, tmp_path / "b", "2bit", 70.0),
    }
    found = reference.own_runs(uri, "top1", runs)
    assert found.values == {"8bit": 90.0, "2bit": 70.0}
    assert runs["8bit"] in found.source


def test_runs_that_do_not_fit_as_a_reference_are_all_named(uri: str, tmp_path: Path) -> None:
    open_folder = RunFolder(tmp_path / "open")
    open_folder.make()
    runs = {
        "8bit": individual(uri, tmp_path / "a", "8bit", 90.0, method="coquant"),
        "7bit": individual(uri, tmp_path / "b", "8bit", 90.0),
        "6bit": recorder.open_run(uri, "tests", "open", open_folder).run_id,
        "5bit": "0" * 32,
        "4bit": individual(uri, tmp_path / "c", "3bit", 90.0, points="4bit"),
        "2bit": "no id",
    }
    with pytest.raises(UsageError) as caught:
        reference.own_runs(uri, "top1", runs)
    lines = str(caught.value).splitlines()
    expected = (
        "was trained by the method 'coquant', not 'individual'",
        "was trained at 8bit, not at 7bit",
        "is RUNNING; a reference is a run that has finished",
        "is unknown",
        "has no metric top1/4bit",
        "is unknown",
    )
    for line, point, words in zip(lines, runs, expected, strict=True):
        assert line.startswith(f"reference.runs.{point}: the run {runs[point]} ")
        assert line.endswith(f"{words}.")
    with pytest.raises(UsageError, match="is judged by top1, this job by map"):
        reference.own_runs(uri, "map", {"8bit": individual(uri, tmp_path / "d", "8bit", 90.0)})


def test_a_server_that_is_away_is_no_unknown_reference() -> None:
    with pytest.raises(Unreachable):
        reference.own_runs("http://127.0.0.1:9", "top1", {"8bit": "0" * 32})
