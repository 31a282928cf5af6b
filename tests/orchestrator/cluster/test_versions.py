"""Other versions on a cluster: what is refused, and what is only said."""

import pytest

from orchestrator.cluster import versions
from orchestrator.cluster.client import ClusterClient
from orchestrator.errors import UsageError
from tests.fake_cluster import FakeCluster

OWN_RAY, OWN_PYTHON = "2.60.0", "3.11.4"


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions.metadata, "version", lambda _: OWN_RAY)
    monkeypatch.setattr(versions.platform, "python_version", lambda: OWN_PYTHON)


def said(cluster: FakeCluster, ray: str, python: str | None, *, here: bool = False) -> list[str]:
    """Return the warnings about a cluster of these versions."""
    cluster.ray, cluster.python = ray, python
    warnings: list[str] = []
    versions.check(ClusterClient(cluster.url), warnings.append, here=here)
    return warnings


@pytest.mark.parametrize("here", [False, True])
@pytest.mark.parametrize("python", [OWN_PYTHON, None])
def test_nothing_is_said_of_the_same_versions(
    cluster: FakeCluster, python: str | None, here: bool
) -> None:
    assert said(cluster, OWN_RAY, python, here=here) == []


@pytest.mark.parametrize(
    ("ray", "python", "shown"),
    [
        ("2.61.1", OWN_PYTHON, "Ray 2.61.1, Python 3.11.4"),
        (OWN_RAY, "3.12.0", "Ray 2.60.0, Python 3.12.0"),
        ("2.61.1", None, "Ray 2.61.1"),
    ],
)
def test_newer_ones_elsewhere_are_said_and_refused_where_jobs_run_with_this_python(
    cluster: FakeCluster, ray: str, python: str | None, shown: str
) -> None:
    [warning] = said(cluster, ray, python)
    assert f"the cluster runs {shown}, this machine Ray 2.60.0, Python 3.11.4" in warning
    with pytest.raises(UsageError, match=f"runs {shown}; orch runs Ray 2.60.0, Python 3.11.4"):
        said(cluster, ray, python, here=True)


@pytest.mark.parametrize(("ray", "python"), [("2.9.3", OWN_PYTHON), (OWN_RAY, "3.9.18")])
def test_versions_that_are_too_old_for_a_job_are_refused(
    cluster: FakeCluster, ray: str, python: str
) -> None:
    with pytest.raises(UsageError, match=r"need at least Ray 2\.60 and Python 3\.11 there"):
        said(cluster, ray, python)
