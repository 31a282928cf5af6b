"""A whole search whose folder is in a bucket."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.job.load import load_job
from orchestrator.run_facts import facts_of
from orchestrator.search import figures
from orchestrator.search.journal import SearchJournal
from orchestrator.search.records import Reported, TrialState
from orchestrator.store.search_folder import SearchFolder
from orchestrator.track.run import remembered_run
from orchestrator.track.server import mlflow_client
from orchestrator.train.member import Member
from orchestrator.train.ranks import Ranks
from tests.orchestrator.trials.searches import DRAW, TWO, Killed, ended_in, kill_after, record_of


@pytest.mark.parametrize("place", ["s3"], indirect=True)
def test_a_search_in_a_bucket_goes_on_as_one_on_a_disk_and_leaves_as_much(
    go: Callable[..., int],
    search: SearchFolder,
    groups: type,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its driver is killed, and the first line of its journal is lost."""
    member = Member()
    monkeypatch.setattr(figures, "draw", DRAW)
    monkeypatch.setattr(groups, "train", lambda task: member.train(task, Ranks()))
    kill_after(1, monkeypatch)
    with pytest.raises(Killed):
        go(TWO)
    journal = search.run.place / "search.jsonl"
    [first] = journal.files()
    journal.write(first, b"\0" + b"".join(journal.chunks(first)))
    assert go(TWO) == 0
    assert list(ended_in(search).values()) == [
        *(TrialState.FINISHED, TrialState.FAILED, TrialState.FINISHED),
    ]
    records = SearchJournal(search).read().records
    told = [(record.run, record.epoch) for record in records if isinstance(record, Reported)]
    assert sorted(told) == [("t001", 1), ("t001", 2), ("t003", 1), ("t003", 2)]
    assert [search.called(run) for run in search.runs()] == ["t001", "t002", "t003"]
    seen = [record_of(run).info.status for run in (search.run, *search.runs())]
    assert seen == ["FINISHED", "FINISHED", "FAILED", "FINISHED"]
    tracked = remembered_run(search.run)
    assert tracked is not None
    with mlflow_client(tracked.uri) as client:
        kept = {
            one.path
            for at in (None, "figures")
            for one in client.list_artifacts(tracked.run_id, at)
        }
    assert {"trials.md", "trials.csv", "best.yaml", "figures/lives.png"} <= kept
    assert {"lives.png", "lives.csv"} <= set(search.figures.files())
    assert facts_of(search.run).searched.table == search.table.read()
    copy = tmp_path / "best.yaml"
    copy.write_text(search.best.read())
    assert load_job(str(copy)).job.name == "tiny_best"
