from pathlib import Path

import pytest
from sqlalchemy import make_url

from orchestrator.job.tracking_uri import sqlite_file
from orchestrator.job.uri import masked, secret_in, secret_problem, sqlite_uri

GIVE_AWAY = [
    "http://me:hush@host:5000",
    "https://me:hu%40hush@host/path",
    "https://me:hu@hush@host/path",
    "http://me:hu/hush@host:5000/path",
    "https://hush@host",
    "https://:hush@host",
    "postgresql://me:hush@host/mlflow",
    "mysql+pymysql://me:hush@host:3306/mlflow",
    "https://host/mlflow?token=hush",
    "https://host/mlflow?a=b&access_token=hush&c=d",
    "https://host/mlflow?PASSWORD=hush",
    "https://host/mlflow?sv=2024&sig=hush%3D",
    "https://host/?X-Amz-Signature=hush",
    "https://host/?X-Amz-Credential=hush",
    "https://host/#access_token=hush",
    "https://host/?api_key=hush",
    "https://host/?api-key=hush",
    "https://host/?auth=hush",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3DODBC%3BUID%3Dme%3BPWD%3Dhush%3BServer%3Dx",
]

HARMLESS = [
    "http://host:5000",
    "https://host/mlflow/#/experiments/1?workflowType=machine_learning",
    "http://127.0.0.1:8265/a@b",
    "http://host:8265/#/jobs",
    "sqlite:////home/me@work/mlflow.db",
    "file:///home/me@work/runs",
    "postgresql://me@host/mlflow?sslmode=require&sslkey=/etc/key.pem",
    "databricks://profile",
    "runs/mlruns",
]


@pytest.mark.parametrize("uri", GIVE_AWAY)
def test_secrets_in_a_uri_are_found_and_masked(uri: str) -> None:
    assert secret_in(uri)
    text = masked(f"The server at {uri} ('{uri}') does not answer.")
    assert "hush" not in text
    assert text.startswith("The server at ")
    assert text.endswith(" does not answer.")
    assert "***" in text


@pytest.mark.parametrize("uri", HARMLESS)
def test_a_harmless_uri_stays_as_it_is(uri: str) -> None:
    assert secret_in(uri) is None
    assert secret_problem(uri) is None


@pytest.mark.parametrize("uri", [uri for uri in HARMLESS if "me@host" not in uri])
def test_a_harmless_uri_is_printed_whole(uri: str) -> None:
    assert masked(uri) == uri


@pytest.mark.parametrize("uri", GIVE_AWAY)
def test_the_problem_names_what_to_set_instead_and_repeats_nothing(uri: str) -> None:
    problem = secret_problem(uri)
    assert problem is not None
    assert ("MLFLOW_TRACKING_PASSWORD" in problem) == uri.startswith("http")
    assert "hush" not in problem


@pytest.mark.parametrize("path", ["/a b#c/m.db", "/100%25/m.db", "/é?/m.db"])
def test_an_sqlite_uri_means_the_file_it_was_made_from(path: str) -> None:
    made = sqlite_uri(Path(path))
    assert make_url(made).database == path
    assert sqlite_file(made) == Path(path)
