"""One trial is asked to stop where its folder is, or by its cluster where it is not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cluster.client import ClusterClient
from orchestrator.errors import MaybeSubmitted, Unreachable
from orchestrator.runs import stop_trial
from orchestrator.runs.registry import Record
from tests.fake_cluster import FakeCluster
from tests.unreliable import on_the_way_to

Make = Callable[..., Record]


@pytest.fixture
def search(make_record: Make, tmp_path: Path) -> Record:
    place = str(tmp_path / "with space" / "digits-1")
    return make_record("digits-1", job={"search": {"seeds": 2}}, run_dir=place)


def test_where_the_folder_is_seen_every_run_of_the_trial_is_asked(
    search: Record, cluster: FakeCluster
) -> None:
    search.folder.make()
    stop_trial.ask_to_stop(search, "t007", ClusterClient(cluster.url))
    asked = [path.parent.name for path in Path(search.search_folder.trials).glob("*/stop_by_name")]
    assert sorted(asked) == ["digits-1.t007s1", "digits-1.t007s2"]
    assert cluster.asked == []


def test_in_a_bucket_the_trial_is_asked_from_here(
    make_record: Make, cluster: FakeCluster, s3: str
) -> None:
    search = make_record("digits-1", job={"search": {}}, run_dir=f"{s3}/digits-1")
    stop_trial.ask_to_stop(search, "t007", ClusterClient(cluster.url))
    assert search.search_folder.of_run("t007").is_stopped_by_name()
    assert cluster.asked == []


def test_elsewhere_the_cluster_runs_one_command(search: Record, cluster: FakeCluster) -> None:
    cluster.new_job = {"statuses": ["PENDING", "SUCCEEDED"]}
    stop_trial.ask_to_stop(search, "t007", ClusterClient(cluster.url))
    [job] = cluster.jobs.values()
    first, second = (search.search_folder.of_run(f"t007s{seed}") for seed in (1, 2))
    assert job.body["entrypoint"] == (
        f"mkdir -p '{first}' '{second}' && touch '{first.stop_by_name}' '{second.stop_by_name}'"
    )
    assert job.body["metadata"] == {}
    assert not search.folder.is_there()


def test_a_command_that_fails_is_told_with_its_output(search: Record, cluster: FakeCluster) -> None:
    cluster.new_job = {"statuses": ["FAILED"], "logs": ["touch: no such file"]}
    with pytest.raises(Unreachable, match="touch: no such file"):
        stop_trial.ask_to_stop(search, "t007", ClusterClient(cluster.url))


def test_a_cluster_without_room_for_a_command_is_not_waited_for_for_ever(
    search: Record, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_trial, "WAIT_SECONDS", 0.0)
    cluster.new_job = {"statuses": ["PENDING"]}
    with pytest.raises(Unreachable, match="has not yet run digits-1"):
        stop_trial.ask_to_stop(search, "t007", ClusterClient(cluster.url))


def test_a_cluster_that_goes_away_while_it_is_asked_is_asked_again_by_the_name_of_the_trial(
    search: Record, cluster: FakeCluster
) -> None:
    with on_the_way_to(cluster.url) as way:
        way.become("cut")
        with pytest.raises(Unreachable, match=r"`orch stop digits-1\.t007` asks again") as told:
            stop_trial.ask_to_stop(search, "t007", ClusterClient(way.url))
    assert not isinstance(told.value, MaybeSubmitted)
    assert "orch status" not in str(told.value)
