"""What is read from MLflow's sqlite file, beside what MLflow itself says of it."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.store.db.utils import _get_latest_schema_revision
from mlflow.tracking import MlflowClient

from orchestrator.track import database

ASK = """
import sys
from orchestrator.track.recorder import check_reachable
check_reachable(sys.argv[1], "orch")
print(sorted({"mlflow", "sqlalchemy", "torch"} & set(sys.modules)))
"""


@pytest.fixture
def file(new_database: Callable[[Path], str], tmp_path: Path) -> Path:
    new_database(tmp_path)
    return tmp_path / "mlflow.db"


def test_the_newest_schema_is_the_one_that_mlflow_names() -> None:
    assert database.newest_schema() == _get_latest_schema_revision()


def test_a_database_in_order_is_asked_without_mlflow(file: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK, f"sqlite:///{file}"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_deleted_experiment_is_left_to_mlflow(file: Path) -> None:
    client = MlflowClient(f"sqlite:///{file}")
    known = client.create_experiment("orch")
    assert database.is_fine(file, "orch")
    client.delete_experiment(known)
    assert not database.is_fine(file, "orch")
    assert database.is_fine(file, "another")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE alembic_version SET version_num = '451aebb31d03'",
        "DELETE FROM alembic_version",
        "DROP TABLE experiments",
        "BEGIN EXCLUSIVE",
    ],
)
def test_what_is_not_in_order_is_left_to_mlflow(file: Path, damage: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute(damage)
        assert not database.is_fine(file, "orch")


def test_no_database_at_all_is_left_to_mlflow(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    assert not database.is_fine(file, "orch")
    assert not file.exists()
    file.write_text("nothing of the kind")
    assert not database.is_fine(file, "orch")
