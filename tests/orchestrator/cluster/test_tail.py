"""Following a log that grows, on a server that sometimes does not answer."""

from itertools import islice
from urllib.parse import parse_qs

import pytest

from orchestrator.cluster import tail
from orchestrator.cluster.client import ClusterClient, JobInfo
from orchestrator.cluster.tail import JobEvents, LogLines
from orchestrator.errors import Unreachable
from orchestrator.events import Log, to_json
from orchestrator.state import State
from tests.fake_cluster import FakeCluster

FAST = 0.001


def read_log(cluster: FakeCluster, submission_id: str = "a") -> LogLines:
    return LogLines(ClusterClient(cluster.url), submission_id)


def test_unfinished_lines_wait_until_they_are_complete(cluster: FakeCluster) -> None:
    cluster.add("a", logs=["a\nb", "a\nbc\n", "a\nbc\nd"])
    reader = read_log(cluster)
    assert reader.read(JobInfo("a", State.RUNNING)) == ["a"]
    assert reader.read(JobInfo("a", State.RUNNING)) == ["bc"]
    assert reader.read(JobInfo("a", State.FAILED)) == ["d"]


def test_every_line_comes_once_and_the_end_is_noticed(cluster: FakeCluster) -> None:
    whole = "".join(f"line {i}\n" for i in range(6)) + "no newline"
    growing = [whole[:end] for end in (0, 5, 9, 9, 30, len(whole))]
    cluster.add("a", statuses=["PENDING", *["RUNNING"] * 4, "SUCCEEDED"], logs=growing)
    looks = list(tail.follow(read_log(cluster), interval=FAST))
    assert [line for look in looks for line in look.new] == whole.splitlines()
    assert looks[-1].info is not None
    assert looks[-1].info.state is State.SUCCEEDED


def test_an_outage_is_reported_and_costs_no_line_and_repeats_none(cluster: FakeCluster) -> None:
    cluster.add(
        "a", statuses=["RUNNING", "RUNNING", "SUCCEEDED"], logs=["1\n", "1\n2\n", "1\n2\n3"]
    )
    following = tail.follow(read_log(cluster), interval=FAST)
    looks = list(islice(following, 1))
    cluster.failures = [502, 502]
    looks += list(following)
    assert [look.trouble.rpartition(" answers ")[2] for look in looks if look.trouble] == [
        "502: RuntimeError: out of order"
    ] * 2
    assert [line for look in looks for line in look.new] == ["1", "2", "3"]


def test_a_cluster_that_stays_away_ends_the_patience() -> None:
    following = tail.follow(
        LogLines(ClusterClient("http://127.0.0.1:1"), "a"), interval=FAST, patience=0.05
    )
    with pytest.raises(Unreachable, match="does not answer"):
        list(following)


def test_a_job_that_the_cluster_forgot_ends_the_following(cluster: FakeCluster) -> None:
    looks = list(tail.follow(read_log(cluster, "gone"), interval=FAST))
    assert [look.info for look in looks] == [None]


def numbered(*numbers: int) -> str:
    return "".join(to_json(Log(message=str(n), n=n)) + "\n" for n in numbers)


def followed(cluster: FakeCluster) -> list[int]:
    reader = JobEvents(ClusterClient(cluster.url), "a")
    looks = tail.follow(reader, interval=FAST)
    return [int(event.message) for look in looks for event in look.new if isinstance(event, Log)]


def test_every_event_comes_once_however_many_come_between_two_looks(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "RECENT_EVENTS", 3)
    half = numbered(*range(1, 6)) + numbered(6)[:20]
    whole = numbered(*range(1, 21))
    files = ["", numbered(1, 2), half, numbered(*range(1, 7)), whole]
    cluster.add("a", statuses=[*["RUNNING"] * 5, "SUCCEEDED"], events=files)
    assert followed(cluster) == list(range(1, 21))


def test_of_a_long_run_only_the_last_events_are_asked_for(cluster: FakeCluster) -> None:
    events = [numbered(*range(1, n)) for n in (900, 901, 902)]
    cluster.add("a", statuses=["RUNNING", "RUNNING", "SUCCEEDED"], events=events)
    assert len(followed(cluster)) == 901
    asked = [path for path in cluster.asked if "logs/file" in path]
    assert [parse_qs(path)["lines"] for path in asked] == [["-1"], ["50"], ["50"]]
    assert not any(path.endswith("/logs") for path in cluster.asked)


def test_events_of_an_older_job_are_lines_of_its_log(cluster: FakeCluster) -> None:
    log = "noise\n" + "".join(f"::orch {line}\n" for line in numbered(1, 2).splitlines())
    cluster.add("a", statuses=["RUNNING", "SUCCEEDED"], logs=[log[:-20], log])
    assert followed(cluster) == [1, 2]
