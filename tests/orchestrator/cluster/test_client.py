"""The client against a server that answers as Ray's dashboard does."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cluster import dashboard
from orchestrator.cluster.client import TOKEN, ClusterClient
from orchestrator.cluster.token import Token
from orchestrator.errors import AlreadySubmitted, Unreachable, UsageError
from orchestrator.state import State
from tests.fake_cluster import NODE, FakeCluster


@pytest.fixture
def client(cluster: FakeCluster) -> ClusterClient:
    return ClusterClient(cluster.url, timeout=5)


@pytest.fixture
def mute_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that does not even accept connections, as on a machine that is switched off."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        place = server.getsockname()
        with contextlib.ExitStack() as waiting:
            for _ in range(4):
                caller = waiting.enter_context(socket.socket())
                caller.setblocking(False)
                caller.connect_ex(place)
            yield place[1]


def test_a_machine_that_takes_no_calls_is_given_up_before_a_slow_one(
    deaf_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "REACH_SECONDS", 0.1)
    began = time.monotonic()
    with pytest.raises(Unreachable, match="no answer in time"):
        ClusterClient(f"http://127.0.0.1:{deaf_port}", timeout=30).jobs()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "answer",
    [b"[1]", b'{"data": 3}', b'{"data": {"result": []}}', b"3", b'[{"submission_id": "a"}]'],
)
def test_an_answer_that_no_ray_gives_is_no_traceback(
    client: ClusterClient, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(dashboard.Dashboard, "send", lambda *_, **__: answer)
    for ask in (
        client.version,
        client.capacity,
        client.jobs,
        lambda: client.job("a"),
    ):
        with pytest.raises(Unreachable, match="not a Ray dashboard"):
            ask()


def test_a_submitted_job_asks_no_cpu_and_carries_its_environment(
    cluster: FakeCluster, client: ClusterClient
) -> None:
    client.submit("a.1", "exec python x", {"env_vars": {"A": "1"}}, {"orch": "0"})
    assert cluster.jobs["a.1"].body == {
        "submission_id": "a.1",
        "entrypoint": "exec python x",
        "entrypoint_num_cpus": 0,
        "runtime_env": {"env_vars": {"A": "1"}},
        "metadata": {"orch": "0"},
    }


def test_a_job_has_its_state_and_exit_code(cluster: FakeCluster, client: ClusterClient) -> None:
    cluster.add("a", statuses=["FAILED"], exit_code=2)
    info = client.job("a")
    assert info is not None
    assert (info.state, info.exit_code, info.started) == (State.FAILED, 2, 1000.0)


def test_an_unknown_job_is_none_and_its_log_empty(client: ClusterClient) -> None:
    assert client.job("nobody") is None
    assert client.logs("nobody") == ""


def test_a_log_that_nobody_has_written_to_yet_is_empty(client: ClusterClient) -> None:
    assert client.log_file("node-of-the-driver", "orch-events-nobody.jsonl") == ""


def test_drivers_that_were_not_submitted_are_left_out(
    cluster: FakeCluster, client: ClusterClient
) -> None:
    cluster.add("a")
    assert [job.submission_id for job in client.jobs()] == ["a"]


def test_a_stop_reaches_the_job(cluster: FakeCluster, client: ClusterClient) -> None:
    cluster.add("a")
    client.stop("a")
    stopped = client.job("a")
    assert stopped is not None
    assert stopped.state is State.STOPPED


def test_a_package_is_stored_under_its_name(cluster: FakeCluster, client: ClusterClient) -> None:
    assert client.upload("_ray_pkg_1.zip", b"zip") == "gcs://_ray_pkg_1.zip"
    assert cluster.packages == {"_ray_pkg_1.zip": b"zip"}


def test_a_package_that_is_too_large_is_the_users_mistake(
    cluster: FakeCluster, client: ClusterClient
) -> None:
    cluster.failures = [413]
    with pytest.raises(UsageError, match="100 MiB"):
        client.upload("_ray_pkg_1.zip", b"zip")


def test_a_submission_whose_answer_was_lost_counts(
    cluster: FakeCluster, client: ClusterClient
) -> None:
    cluster.add("a")
    cluster.failures = [500]
    client.submit("a", "x", {}, {})


def test_a_submission_whose_id_another_one_has_is_refused_and_its_own_is_not(
    cluster: FakeCluster, client: ClusterClient
) -> None:
    client.submit("a", "x", {}, {"run": "a", TOKEN: "mine"})
    client.submit("a", "x", {}, {"run": "a", TOKEN: "mine"})
    with pytest.raises(AlreadySubmitted, match="a is already RUNNING"):
        client.submit("a", "x", {}, {"run": "a", TOKEN: "another"})
    assert cluster.jobs["a"].body["metadata"][TOKEN] == "mine"


def test_a_refused_submission_shows_the_end_of_the_traceback(
    cluster: FakeCluster, client: ClusterClient
) -> None:
    cluster.failures = [500]
    with pytest.raises(Unreachable, match="answers 500: RuntimeError: out of order"):
        client.submit("a", "x", {}, {})


def test_only_living_nodes_count(cluster: FakeCluster, client: ClusterClient) -> None:
    cluster.nodes = [NODE, NODE | {"state": "DEAD"}, NODE | {"resources_total": {"GPU": 2.0}}]
    assert client.capacity().sentence() == "2 nodes, 4 CPUs, 2 GPUs"


@pytest.mark.parametrize(
    ("status", "grows"),
    [
        ({"autoscalingStatus": None, "clusterStatus": None}, False),
        (
            {
                "autoscalingStatus": "Cluster status: 0 nodes\nWorker node types:",
                "clusterStatus": {"autoscalerReport": {"legacy": True}},
            },
            False,
        ),
        (
            {
                "autoscalingStatus": "Cluster status: 0 nodes\nWorker node types:\n - gpu: 2",
                "clusterStatus": {"autoscalerReport": {"legacy": True}},
            },
            True,
        ),
        ({"autoscalingStatus": "== Autoscaler status ==", "clusterStatus": None}, True),
    ],
)
def test_an_autoscaler_with_workers_to_add_is_noticed(
    cluster: FakeCluster, client: ClusterClient, status: dict[str, object], grows: bool
) -> None:
    cluster.autoscaling = status
    assert client.capacity().grows is grows


def test_a_closed_port_is_unreachable_with_advice() -> None:
    with pytest.raises(Unreachable, match=r"does not answer.*orch doctor"):
        ClusterClient("http://127.0.0.1:1").version()


def test_a_mute_server_is_given_up_in_time(mute_port: int) -> None:
    with pytest.raises(Unreachable, match="no answer in time"):
        ClusterClient(f"http://127.0.0.1:{mute_port}", timeout=0.1).version()


def test_a_server_that_speaks_no_http_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(b"SSH-2.0-x\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(Unreachable):
            ClusterClient(f"http://127.0.0.1:{server.getsockname()[1]}").version()
        thread.join()


def test_a_missing_token_and_a_wrong_one_are_different_errors(
    cluster: FakeCluster, client: ClusterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.token = "right"
    with pytest.raises(Unreachable, match=r"asks for a token\. Set RAY_AUTH_TOKEN"):
        client.version()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
    with pytest.raises(Unreachable, match="does not accept the token of RAY_AUTH_TOKEN"):
        client.version()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "right")
    assert client.version()["ray_version"] == "2.60.0"


def test_a_client_with_a_token_file_of_its_own_uses_no_other(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.token = "the head's"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of another cluster")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    file = tmp_path / "token"
    file.write_text("the head's")
    client = ClusterClient(cluster.url, token=Token(file))
    assert client.version()["session_name"] == "session_1"
    file.write_text("an old one")
    with pytest.raises(Unreachable, match=f"does not accept the token of {file}") as refused:
        client.version()
    assert "an old one" not in str(refused.value)


def test_a_proxy_is_not_asked_for_this_machine(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert ClusterClient(cluster.url).version()["session_name"] == "session_1"
