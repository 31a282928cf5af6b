from pathlib import Path

import pytest

from orchestrator.errors import JobFileError
from orchestrator.job.load import load_job
from orchestrator.job.tracking_uri import sqlite_file

JOB = """
name: mine
model: {{name: resnet18_cifar}}
data: {{name: cifar10, root: data}}
method: {{name: coquant}}
optimizer: {{lr: 5e-2}}
training: {{epochs: 3, global_batch: 128}}
tracking: {{uri: "{uri}"}}
"""


def load(folder: Path, uri: str, *overrides: str) -> str | None:
    folder.mkdir(exist_ok=True)
    (folder / "mine.yaml").write_text(JOB.format(uri=uri))
    return load_job(folder / "mine.yaml", overrides).job.tracking.uri


def test_a_relative_database_lies_beside_the_file_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("RECORDS", "kept")
    jobs = tmp_path / "jobs"
    assert load(jobs, "sqlite:///mlflow.db") == f"sqlite:///{jobs}/mlflow.db"
    assert load(jobs, "sqlite:///${RECORDS}/m.db") == f"sqlite:///{jobs}/kept/m.db"
    override = "tracking.uri=sqlite:///mlflow.db"
    assert load(jobs, "http://host:5000", override) == f"sqlite:///{here}/mlflow.db"


@pytest.mark.parametrize(
    "uri", ["http://host:5000", "sqlite:////abs/m.db", "postgresql://host/runs", "databricks"]
)
def test_what_names_no_relative_file_stays_as_it_is(tmp_path: Path, uri: str) -> None:
    assert load(tmp_path, uri) == uri


def test_a_folder_with_special_characters_is_the_one_that_sqlalchemy_opens(tmp_path: Path) -> None:
    from sqlalchemy.engine import make_url

    folder = tmp_path / "100% what?"
    uri = load(folder, "sqlite:///mlflow.db")
    assert uri is not None
    assert make_url(uri).database == str(folder / "mlflow.db")
    assert sqlite_file(uri) == folder / "mlflow.db"


@pytest.mark.parametrize(
    "uri",
    ["mlruns", "file:mlruns", "file:///mlruns", "sqlite:///:memory:", "sqlite://", "sqlite:m"],
)
def test_what_would_not_be_kept_is_refused_with_what_to_write_instead(
    tmp_path: Path, uri: str
) -> None:
    with pytest.raises(JobFileError, match=r"mine\.yaml:8  tracking\.uri: .*sqlite:///") as caught:
        load(tmp_path, uri)
    assert len(caught.value.mistakes) == 1
