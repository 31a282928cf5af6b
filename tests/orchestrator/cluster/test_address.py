"""The forms in which a cluster can be named."""

import pytest

from orchestrator.cluster import address
from orchestrator.errors import Unreachable, UsageError
from tests.fake_cluster import FakeCluster


def test_without_any_address_no_cluster_is_configured() -> None:
    assert address.configured(None) is None


def test_the_option_is_stronger_than_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "a:1")
    assert address.configured(None) == ("a:1", "RAY_ADDRESS")
    assert address.configured("b:2") == ("b:2", "--address")


@pytest.mark.parametrize("given", ["http://10.0.0.5:8265/", "https://ray.example.org"])
def test_a_url_is_taken_as_it_is(given: str) -> None:
    assert address.dashboard_url(given) == given.rstrip("/")


def test_host_and_port_of_a_dashboard_are_enough(cluster: FakeCluster) -> None:
    assert address.dashboard_url(cluster.url.removeprefix("http://")) == cluster.url


@pytest.mark.parametrize("given", ["http://", "http://host", "host", "http://host:port", "a b:1"])
def test_an_address_that_cannot_be_right_is_a_usage_error(given: str) -> None:
    with pytest.raises(UsageError, match="Expected http://HOST:PORT, HOST:PORT or auto"):
        address.dashboard_url(given)


def test_nobody_at_host_and_port_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        address.dashboard_url("127.0.0.1:1")


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
