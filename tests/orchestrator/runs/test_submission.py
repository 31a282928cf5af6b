"""What a cluster receives with a job, against a fake cluster: all it needs, and no secret."""

import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator import handover
from orchestrator.cluster import local
from orchestrator.cluster.client import ClusterClient
from orchestrator.cluster.local import Head
from orchestrator.errors import MaybeSubmitted, Unreachable, UsageError
from orchestrator.job.schema import Job
from orchestrator.runs import registry, submission
from orchestrator.runs.registry import Record
from orchestrator.runs.submission import Place
from orchestrator.store.run_folder import RunFolder
from tests.fake_cluster import NODE, FakeCluster
from tests.unreliable import Mood, Unreliable, Weather, on_the_way_to

SECRET = "s3cret"


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a submission asks of a job; its data are taken to be there."""
    monkeypatch.setattr(submission, "_preflight", lambda _: None)
    asked = {"num_workers": 1, "least": 1, "loader_workers": 0, "gpus_per_worker": 0}
    training = SimpleNamespace(global_batch=8)
    return SimpleNamespace(cluster=SimpleNamespace(**asked), training=training, search=None)


@pytest.fixture
def head(cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Head:
    """A local head that a submission with another environment has started."""
    (tmp_path / "head").mkdir(mode=0o700)
    found = Head(cluster.url, str(tmp_path / "head"), sys.prefix, 1, "session_1")
    monkeypatch.setattr(local, "ensure", lambda _: found)
    return found


class FromTheSubmissionOn(Weather):
    """The submission of a job and what is asked after it go as told, the last one for all later."""

    def __init__(self, way: Unreliable, *moods: Mood) -> None:
        super().__init__(0.0)
        self.way, self.moods = way, list(moods)

    def next(self) -> Mood:
        if "POST /api/jobs/" not in self.way.asked:
            return "well"
        return self.moods.pop(0) if len(self.moods) > 1 else self.moods[0]


def received(cluster: FakeCluster) -> str:
    """Return everything that the cluster was sent."""
    bodies = [job.body for job in cluster.jobs.values()]
    return json.dumps(bodies) + b"".join(cluster.packages.values()).decode("latin-1")


def test_a_job_on_a_running_head_has_the_environment_of_its_own_submission(
    cluster: FakeCluster,
    head: Head,
    job: Any,
    make_record: Callable[..., Record],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stale = handover.leave(Path(head.folder) / "secrets", "killed-1", {"OLD_TOKEN": "x"})
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    monkeypatch.setenv("NO_PROXY", "mlflow.lan")
    submission.submit(make_record("digits-1"), job, Place(None, here=True), lambda _: None)
    env_vars = cluster.jobs["digits-1"].body["runtime_env"]["env_vars"]
    assert env_vars["NO_PROXY"] == env_vars["no_proxy"] == "mlflow.lan,127.0.0.1,localhost"
    assert SECRET not in received(cluster)
    file = Path(env_vars[handover.VARIABLE])
    assert file.is_relative_to(head.folder)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["MLFLOW_TRACKING_PASSWORD"] == SECRET
    assert not stale.exists()


def test_secrets_stay_here_when_the_cluster_is_elsewhere_and_that_is_said_once(
    cluster: FakeCluster,
    head: Head,
    job: Any,
    make_record: Callable[..., Record],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster.nodes = [NODE | {"node_ip": "203.0.113.7"}]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    said: list[str] = []
    submission.submit(
        make_record("digits-1"), job, Place(ClusterClient(cluster.url), here=False), said.append
    )
    env_vars = cluster.jobs["digits-1"].body["runtime_env"]["env_vars"]
    assert env_vars["AWS_REGION"] == "eu-central-1"
    assert handover.VARIABLE not in env_vars
    assert SECRET not in received(cluster) + str(said)
    assert [line for line in said if "AWS_SECRET_ACCESS_KEY" in line] == said
    assert len(said) == 1


def test_what_the_initial_weights_lack_is_said_before_anything_is_submitted(
    tiny_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.prepare.preflight.start", lambda *_: "Not trained at 2bit.")
    said: list[str] = []
    submission.check(tiny_job(), None, said.append)
    assert said == ["warning: Not trained at 2bit."]


def test_a_run_that_cannot_go_on_for_its_full_disk_is_refused_as_nothing_has_failed(
    tiny_job: Callable[..., Job], tmp_path: Path, full_disk: Callable[[object, str], None]
) -> None:
    full_disk(Path, "write_bytes")
    with pytest.raises(UsageError, match="free some space, and `orch resume` continues"):
        submission.check(tiny_job(), None, lambda _: None, RunFolder(tmp_path / "runs" / "tiny-1"))


def test_a_search_whose_corner_never_fits_is_refused_with_the_corner(
    head: Head, tiny_job: Callable[..., Job], make_record: Callable[..., Record]
) -> None:
    search = ["search.metric=mean", "search.trials=2", "training.global_batch=5000"]
    workers = "search.space.cluster.num_workers={choice: [1, 5000]}"
    job = tiny_job(*search, workers)
    with pytest.raises(UsageError, match=r"^corner num_workers=5000: This machine .* cannot hold"):
        submission.submit(make_record("digits-1"), job, Place(None, here=True), lambda _: None)


def test_a_job_that_the_cluster_may_have_when_it_goes_away_stays_on_record(
    cluster: FakeCluster, job: Any, make_record: Callable[..., Record]
) -> None:
    record = make_record("digits-1")
    with on_the_way_to(cluster.url) as way:
        place = Place(ClusterClient(way.url), here=False)
        way.become(FromTheSubmissionOn(way, "deaf", "cut"))
        with pytest.raises(
            MaybeSubmitted, match=r"^digits-1 may have been .*`orch status digits-1`"
        ):
            submission.submit(record, job, place, lambda _: None)
        assert registry.find("digits-1").address == way.url
    assert "digits-1" in cluster.jobs
    assert MaybeSubmitted.exit_code == 3


def test_a_job_that_the_cluster_does_not_have_is_forgotten(
    cluster: FakeCluster, job: Any, make_record: Callable[..., Record]
) -> None:
    first = make_record("digits-1")
    with on_the_way_to(cluster.url) as way:
        place = Place(ClusterClient(way.url), here=False)
        for moods in (("cut", "well"), (401, "cut")):
            way.asked.clear()
            way.become(FromTheSubmissionOn(way, *moods))
            with pytest.raises(Unreachable) as refused:
                submission.submit(first, job, place, lambda _: None)
            assert not isinstance(refused.value, MaybeSubmitted)
            assert registry.kept("digits-1") is None
    assert not cluster.jobs
