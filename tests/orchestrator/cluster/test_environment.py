"""What of a shell's environment travels with a job, and how."""

from pathlib import Path

import pytest

from orchestrator.cluster import environment, head_process
from orchestrator.errors import UsageError

SHELL = {
    "AWS_SECRET_ACCESS_KEY": "s3cret",
    "AWS_REGION": "eu-central-1",
    "AWS_SHARED_CREDENTIALS_FILE": "/home/me/.aws/credentials",
    "HTTPS_PROXY": "http://me:s3cret@proxy:3128",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_TRACKING_PASSWORD": "s3cret",
    "MLFLOW_TRACKING_USERNAME": "me",
    "NO_PROXY": "mlflow.lan",
    "PATH": "/bin",
    "SHELL": "/bin/sh",
}


def test_on_the_local_head_everything_travels_and_secrets_are_not_public() -> None:
    found = environment.for_local_head(SHELL)
    assert found.public == {
        "AWS_REGION": "eu-central-1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
        "NO_PROXY": "mlflow.lan,127.0.0.1,localhost",
        "no_proxy": "mlflow.lan,127.0.0.1,localhost",
    }
    assert set(found.secret) == {
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SHARED_CREDENTIALS_FILE",
        "HTTPS_PROXY",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_USERNAME",
    }


def test_elsewhere_neither_secrets_nor_this_machines_network_and_files_are_sent() -> None:
    found = environment.for_other_cluster(SHELL)
    assert found.public == {"AWS_REGION": "eu-central-1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}
    assert "HTTPS_PROXY" not in found.secret


def test_a_head_keeps_nothing_that_belongs_to_the_job_that_started_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in SHELL.items():
        monkeypatch.setenv(name, value)
    kept = head_process._environment(tmp_path, gcs_port=1)
    assert kept["PATH"] == "/bin"
    assert {name for name in kept if environment.travels(name)} == {"no_proxy", "NO_PROXY"}
    assert "s3cret" not in str(kept)


@pytest.mark.parametrize(
    "uri",
    ["http://me:hush@host:5000", "https://hush@host", "https://host/?token=hush"],
)
def test_a_tracking_uri_with_a_secret_is_refused(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UsageError, match="MLFLOW_TRACKING_PASSWORD") as refused:
        environment.for_local_head()
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("uri", "travels_as"),
    [
        ("http://host:5000", "http://host:5000"),
        ("sqlite:////abs/mlflow.db", "sqlite:////abs/mlflow.db"),
        ("sqlite:///mlflow.db", "sqlite:///{cwd}/mlflow.db"),
        ("sqlite:///sub/../mlflow.db?timeout=9", "sqlite:///{cwd}/mlflow.db?timeout=9"),
    ],
)
def test_a_relative_tracking_uri_means_the_same_on_the_cluster(
    uri: str, travels_as: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    expected = travels_as.format(cwd=Path.cwd())
    assert environment.for_local_head().public["MLFLOW_TRACKING_URI"] == expected


@pytest.mark.parametrize("uri", ["mlruns", "file:///mlruns", "sqlite:///:memory:", "sqlite:///"])
def test_a_tracking_uri_under_which_nothing_stays_is_refused(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UsageError, match=r"MLFLOW_TRACKING_URI .*name a file, such as sqlite:///"):
        environment.for_local_head()
