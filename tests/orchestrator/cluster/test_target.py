"""Which cluster is meant, and which option or variable goes before which."""

import pytest

from orchestrator.cluster import named, target
from orchestrator.cluster.token import Token
from orchestrator.errors import Unreachable, UsageError
from tests.fake_cluster import FakeCluster


@pytest.fixture(autouse=True)
def lab(home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named cluster, and none in the environment."""
    for name in target.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    named.file().parent.mkdir(parents=True, exist_ok=True)
    named.file().write_text("lab: {address: 'http://lab:8265', token_env: LAB_TOKEN}\n")


def test_options_go_before_the_environment_and_without_either_it_is_the_local_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert target.configured() is None
    monkeypatch.setenv("RAY_ADDRESS", " c:3 ")
    assert target.configured() == target.Target("c:3", "RAY_ADDRESS")
    assert target.configured("b:2") == target.Target("b:2", "--address")
    by_name = target.configured(None, "lab")
    assert by_name is not None
    assert (by_name.address, by_name.by) == ("http://lab:8265", "--cluster lab")
    assert (by_name.token, by_name.cluster) == (Token(None, "LAB_TOKEN", "lab"), "lab")
    assert target.chosen(None, None) is None


def test_two_options_that_name_a_cluster_are_refused() -> None:
    with pytest.raises(UsageError, match="leave out one of them"):
        target.chosen("b:2", "lab")


def test_the_token_of_a_named_cluster_finds_its_dashboard_too(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.token = "right"
    named.file().write_text(f"lab: {{address: '{cluster.url[7:]}', token_env: LAB_TOKEN}}\n")
    with pytest.raises(Unreachable, match="Set LAB_TOKEN"):
        target.of_name("lab", "").client()
    monkeypatch.setenv("LAB_TOKEN", "right")
    assert target.of_name("lab", "").client().url == cluster.url


def test_a_target_is_shown_without_secrets() -> None:
    assert str(target.Target("http://me:hush@x:1", "--address")) == "http://***@x:1 (--address)"
