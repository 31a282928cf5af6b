"""The forms in which a cluster can be named."""

import socket
import threading
import time

import pytest

from orchestrator.cluster import address
from orchestrator.errors import Unreachable, UsageError
from tests.fake_cluster import FakeCluster


@pytest.mark.parametrize(
    ("given", "server"),
    [
        ("http://10.0.0.5:8265", "http://10.0.0.5:8265"),
        ("http://10.0.0.5:8265/", "http://10.0.0.5:8265"),
        (" http://10.0.0.5:8265/#/jobs\n", "http://10.0.0.5:8265"),
        ("http://10.0.0.5:8265/#/jobs/digits-1?tab=logs", "http://10.0.0.5:8265"),
        ("http://10.0.0.5:8265/api/version?x=1#top", "http://10.0.0.5:8265"),
        ("HTTP://Head:8265/", "http://head:8265"),
        ("http://[::1]:8265/#/overview", "http://[::1]:8265"),
        ("https://ray.example.org", "https://ray.example.org"),
        ("https://ray.example.org/#/cluster", "https://ray.example.org"),
    ],
)
def test_of_a_url_only_the_server_counts(given: str, server: str) -> None:
    assert address.dashboard_url(given) == server


def test_a_page_without_its_scheme_is_enough(cluster: FakeCluster) -> None:
    page = f"{cluster.url.removeprefix('http://')}/#/jobs"
    assert address.dashboard_url(page) == cluster.url


@pytest.mark.parametrize(
    "given",
    [
        "http://me:hush@10.0.0.5:8265/#/jobs",
        "me:hush@10.0.0.5:8265",
        "ray://me:hush@10.0.0.5:10001",
        "https://hush@ray.example.org",
        "http://10.0.0.5:8265/?token=hush",
    ],
)
def test_an_address_with_a_secret_is_refused_without_saying_it(given: str) -> None:
    with pytest.raises(UsageError, match="RAY_AUTH_TOKEN") as refused:
        address.dashboard_url(given)
    assert "hush" not in str(refused.value)


def test_host_and_port_of_a_dashboard_are_enough(cluster: FakeCluster) -> None:
    assert address.dashboard_url(cluster.url.removeprefix("http://")) == cluster.url


@pytest.mark.parametrize(
    "given", ["http://", "http://host", "host", "http://host:port", "a b:1", "ftp://h:1"]
)
def test_an_address_that_cannot_be_right_is_a_usage_error(given: str) -> None:
    with pytest.raises(UsageError, match="Expected http://HOST:PORT, HOST:PORT or auto"):
        address.dashboard_url(given)


def test_nobody_at_host_and_port_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        address.dashboard_url("127.0.0.1:1")


@pytest.mark.parametrize(
    "scheme", ["", "ray://"], ids=["the port of a dashboard or a head", "Ray's client"]
)
def test_a_port_that_never_answers_costs_seconds(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patience in ("PROBE_SECONDS", "RAY_SECONDS", "RAY_CLIENT_SECONDS"):
        monkeypatch.setattr(address, patience, 0.1)
    over = threading.Event()
    for find in ("ray_address_to_api_server_url", "ray_client_address_to_api_server_url"):
        monkeypatch.setattr(f"ray.dashboard.utils.{find}", lambda _: over.wait(60))
    began = time.monotonic()
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        pytest.raises(Unreachable, match="no answer within"),
    ):
        address.dashboard_url(f"{scheme}127.0.0.1:{mute.getsockname()[1]}")
    over.set()
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("given", ["ray://127.0.0.1:1", "ray://no-such-host.invalid:10001"])
def test_ray_is_not_asked_where_nobody_listens(given: str) -> None:
    with pytest.raises(Unreachable, match="nothing is listening there"):
        address.dashboard_url(given)


def test_a_cluster_that_wants_a_token_is_not_taken_for_something_else(
    cluster: FakeCluster,
) -> None:
    cluster.token = "secret"
    with pytest.raises(Unreachable, match="token"):
        address.dashboard_url(cluster.url.removeprefix("http://"))


@pytest.mark.parametrize(
    ("url", "head", "here"),
    [
        ("http://127.0.0.1:8265", "127.0.0.1", True),
        ("http://localhost:8265", "127.0.0.1", True),
        ("http://127.0.0.1:8265", "203.0.113.7", False),
        ("http://203.0.113.7:8265", "127.0.0.1", False),
        ("http://127.0.0.1:8265", None, False),
    ],
)
def test_a_forwarded_port_does_not_make_a_cluster_local(
    url: str, head: str | None, here: bool
) -> None:
    assert address.is_this_machine(url, head) is here
