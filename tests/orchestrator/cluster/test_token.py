"""Where tokens are looked for."""

from pathlib import Path

import pytest

from orchestrator.cluster.client import ClusterClient
from orchestrator.cluster.token import Token
from orchestrator.errors import Unreachable, UsageError
from tests.fake_cluster import FakeCluster


def test_by_default_the_token_comes_from_where_ray_looks_for_it(
    home: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = Token()
    assert token.read() is None
    (Path.home() / ".ray").mkdir()
    (Path.home() / ".ray" / "auth_token").write_text("default\n")
    assert token.read() == "default"
    other = Path.home() / "other"
    other.write_text("other")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(other))
    assert (token.read(), token.place) == ("other", str(other))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "own ")
    assert (token.read(), token.place) == ("own", "RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert token.read() is None


@pytest.mark.parametrize("content", ["sec ret\nb", "ключ", "a\x00b"])
def test_what_cannot_be_a_token_is_refused_and_not_shown(
    home: object, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    file = Path.home() / "token"
    file.write_bytes(content.encode("utf-8") + b"\xff")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    with pytest.raises(UsageError, match=f"What {file} holds is no token") as refused:
        Token().read()
    assert content[:3] not in str(refused.value).partition("is no token")[2]


@pytest.mark.parametrize("host", ["höst..x", "a" * 70])
def test_a_name_that_no_host_can_have_does_not_answer(host: str) -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        ClusterClient(f"http://{host}:8265").version()


def test_the_token_of_a_named_cluster_is_in_its_variable_alone(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.token = "right"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of another cluster")
    client = ClusterClient(cluster.url, token=Token(variable="LAB_TOKEN", cluster="lab"))
    with pytest.raises(Unreachable, match=r"asks for a token\. Set LAB_TOKEN, .* 'lab' names"):
        client.version()
    monkeypatch.setenv("LAB_TOKEN", "wrong")
    with pytest.raises(Unreachable, match="does not accept the token of LAB_TOKEN"):
        client.version()
    monkeypatch.setenv("LAB_TOKEN", "right")
    assert client.version()["ray_version"] == "2.60.0"
