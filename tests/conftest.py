"""What MLflow needs seconds to create, created once; what tests of properties may take."""

import gc
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.mlflow_server import MlflowServer, serving

hypothesis.settings.register_profile(
    "busy machines",
    deadline=None,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("busy machines")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep what is loaded for all tests out of the search for garbage: half a second each time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sqlite file with MLflow's tables, to be copied."""
    from mlflow.tracking import MlflowClient

    file = tmp_path_factory.mktemp("tables") / "empty.db"
    MlflowClient(tracking_uri=f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def new_database(empty_database: Path) -> Callable[[Path], str]:
    """Create a database in a folder; return its URI."""

    def make(folder: Path) -> str:
        return f"sqlite:///{shutil.copy(empty_database, folder / 'mlflow.db')}"

    return make


@pytest.fixture(scope="session")
def database(new_database: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a database that the tests share."""
    return new_database(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture(scope="session")
def mlflow_server(
    database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    """A server on the shared database."""
    with serving(database, tmp_path_factory.mktemp("server")) as server:
        yield server
