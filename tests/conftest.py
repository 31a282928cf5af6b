"""What MLflow needs seconds to create, created once; what tests of properties may take."""

import gc
import secrets
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from orchestrator.store import s3_client
from tests import s3_server
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


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder of a test's own, made when something is kept in it."""
    monkeypatch.setenv("ORCH_CACHE", str(tmp_path_factory.getbasetemp() / secrets.token_hex(4)))


@pytest.fixture(scope="session")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real S3 server with an empty bucket."""
    with s3_server.serving(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture
def s3(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A place of its own in the bucket, s3://..., that this process can ask."""
    for name, value in s3_server.settings(s3_url).items():
        monkeypatch.setenv(name, value)
    s3_client.client.cache_clear()
    yield f"s3://{s3_server.BUCKET}/{secrets.token_hex(4)}"
    s3_client.client.cache_clear()


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
