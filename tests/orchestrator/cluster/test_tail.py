"""Following a log that grows, on a server that sometimes does not answer."""

from itertools import islice

import pytest

from orchestrator.cluster import tail
from orchestrator.cluster.client import ClusterClient
from orchestrator.cluster.state import State
from orchestrator.errors import Unreachable
from tests.fake_cluster import FakeCluster

FAST = 0.001


def test_unfinished_lines_wait_until_they_are_complete() -> None:
    seen = tail.Tail()
    assert seen.new_lines("a\nb", complete=False) == ["a"]
    assert seen.new_lines("a\nbc\n", complete=False) == ["bc"]
    assert seen.new_lines("a\nbc\nd", complete=True) == ["d"]


def test_every_line_comes_once_and_the_end_is_noticed(cluster: FakeCluster) -> None:
    whole = "".join(f"line {i}\n" for i in range(6)) + "no newline"
    growing = [whole[:end] for end in (0, 5, 9, 9, 30, len(whole))]
    cluster.add("a", statuses=["PENDING", *["RUNNING"] * 4, "SUCCEEDED"], logs=growing)
    looks = list(tail.follow(ClusterClient(cluster.url), "a", interval=FAST))
    assert [line for look in looks for line in look.lines] == whole.splitlines()
    assert looks[-1].info is not None
    assert looks[-1].info.state is State.SUCCEEDED


def test_an_outage_is_told_and_costs_no_line_and_repeats_none(cluster: FakeCluster) -> None:
    cluster.add(
        "a", statuses=["RUNNING", "RUNNING", "SUCCEEDED"], logs=["1\n", "1\n2\n", "1\n2\n3"]
    )
    following = tail.follow(ClusterClient(cluster.url), "a", interval=FAST)
    looks = list(islice(following, 1))
    cluster.failures = [502, 502]
    looks += list(following)
    assert [look.trouble.rpartition(" answers ")[2] for look in looks if look.trouble] == [
        "502: RuntimeError: out of order"
    ] * 2
    assert [line for look in looks for line in look.lines] == ["1", "2", "3"]


def test_a_cluster_that_stays_away_ends_the_patience() -> None:
    following = tail.follow(ClusterClient("http://127.0.0.1:1"), "a", interval=FAST, patience=0.05)
    with pytest.raises(Unreachable, match="does not answer"):
        list(following)


def test_a_job_that_the_cluster_forgot_ends_the_following(cluster: FakeCluster) -> None:
    looks = list(tail.follow(ClusterClient(cluster.url), "gone", interval=FAST))
    assert [look.info for look in looks] == [None]
