"""The folder of a search knows its runs by name, and they know it."""

from pathlib import Path

from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder


def test_the_runs_of_a_search_are_those_with_a_folder_of_its_name(tmp_path: Path) -> None:
    search = SearchFolder(RunFolder(tmp_path / "digits-1"))
    assert search.runs() == []
    for name in ("t002s1", "t001"):
        search.of_run(name).make()
    (Path(search.trials) / "notes").mkdir()
    assert [run.name for run in search.runs()] == ["digits-1.t001", "digits-1.t002s1"]
    assert [search.called(run) for run in search.runs()] == ["t001", "t002s1"]


def test_only_the_runs_of_a_search_have_one_above_them(tmp_path: Path) -> None:
    search = SearchFolder(RunFolder(tmp_path / "digits-1"))
    assert SearchFolder.above(search.of_run("t001")) == search
    assert SearchFolder.above(search.run) is None
