"""A local head that is alive and does not answer, for a while or for good: it and its jobs stay."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cluster import local
from orchestrator.cluster.local import Head
from orchestrator.errors import Unreachable
from tests.fake_cluster import FakeCluster
from tests.orchestrator.conftest import PretendedHead

Pretended = Callable[..., PretendedHead]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Head:
    """What is started instead of a head, when one is started."""
    new = Head("http://127.0.0.1:1", "/new", "/env", 1, "new")
    monkeypatch.setattr(local, "_start", lambda: new)
    return new


@pytest.mark.usefixtures("started")
def test_a_living_head_that_does_not_answer_is_neither_replaced_nor_asked_to_end(
    monkeypatch: pytest.MonkeyPatch, pretended_head: Pretended
) -> None:
    monkeypatch.setattr(local, "ANSWER_SECONDS", 0.3)
    head = pretended_head().head
    asked: tuple[Callable[[], object], ...] = (lambda: local.ensure(print), local.offer)
    for ask in asked:
        with pytest.raises(Unreachable, match=r"alive, but does not answer.*`orch down` ends it"):
            ask()
    assert local.running() == head
    assert Path(head.folder).exists()


def test_several_jobs_wait_only_once_for_a_head_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, pretended_head: Pretended
) -> None:
    monkeypatch.setattr(local, "ANSWER_SECONDS", 0.5)
    head = pretended_head().head
    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(Unreachable):
            local.answers(head)
    assert time.monotonic() - began < 1.4


@pytest.mark.usefixtures("started")
def test_a_busy_head_is_given_time_to_answer(
    cluster: FakeCluster, pretended_head: Pretended
) -> None:
    head = pretended_head(cluster.url).head
    cluster.failures = [503, 503]
    assert local.ensure(print) == head


def test_a_head_that_dies_while_it_is_waited_for_is_replaced(
    started: Head, pretended_head: Pretended
) -> None:
    pretended = pretended_head()
    threading.Timer(0.3, pretended.die).start()
    assert local.ensure(lambda _: None) == started
    assert not Path(pretended.head.folder).exists()


def test_a_dead_head_is_replaced_at_once(started: Head, pretended_head: Pretended) -> None:
    pretended = pretended_head()
    pretended.die()
    assert local.running() is None
    assert local.ensure(lambda _: None) == started


def test_a_head_whose_start_was_cut_short_is_replaced(
    started: Head, pretended_head: Pretended
) -> None:
    pretended_head(session="")
    assert local.running() is None
    assert local.ensure(lambda _: None) == started


def test_another_cluster_at_the_port_of_a_living_head_is_not_taken_for_it(
    monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster, pretended_head: Pretended
) -> None:
    monkeypatch.setattr(local, "ANSWER_SECONDS", 0.3)
    pretended_head(cluster.url, session="another")
    with pytest.raises(Unreachable):
        local.ensure(print)


def test_a_head_that_does_not_say_what_it_does_is_not_released(
    cluster: FakeCluster, pretended_head: Pretended
) -> None:
    head = pretended_head(cluster.url).head
    cluster.failures = [503]
    assert not local.release()
    assert local.running() == head
    assert local.release()
    assert local.running() is None
