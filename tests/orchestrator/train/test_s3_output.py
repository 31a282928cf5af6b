"""A run whose folder is in a bucket: the same weights as on a disk, whatever comes between."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from orchestrator.job.schema import Job
from orchestrator.run_facts import facts_of, finished_in
from orchestrator.store import s3_client
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.run_folder import WEIGHTS, RunFolder
from orchestrator.track.journal import Journal
from orchestrator.train import driver, run_checkpoints
from orchestrator.train.context import FolderContext
from orchestrator.train.ranks import Ranks
from orchestrator.train.worker import Run, Worker
from tests.storage_kills import kill
from tests.unreliable import FAULTS, Weather, on_the_way_to

SMALL = (
    *("quantizer.bit_widths=[8, 2]", "training.epochs=1"),
    *("checkpoint.every_steps=1", "checkpoint.select=best"),
)


def train(job: Job, place: str | Path) -> RunFolder:
    """Train a job until it ends or stops, as its driver and its only worker do."""
    folder = RunFolder(place)
    driver.prepare(folder, job)
    Worker(job, Run(folder), FolderContext(folder, Ranks(), keep=2)).run()
    return folder


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    with folder.checkpoints()[-1].here() as here:
        return dict(load_file(here / WEIGHTS))


def assert_same(one: RunFolder, other: RunFolder) -> None:
    expected, found = weights(one), weights(other)
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert finished_in(one).rows == finished_in(other).rows
    assert [kept.name for kept in one.best()] == [kept.name for kept in other.best()]


def test_a_run_in_a_bucket_ends_as_one_on_a_disk_whatever_comes_between(
    tiny_job: Callable[..., Job],
    tmp_path: Path,
    s3: str,
    s3_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A third of all requests fails, the run is stopped, and its newest checkpoint is damaged."""
    job = tiny_job(*SMALL)
    weather = Weather(share=0.3, seed=1)
    with on_the_way_to(s3_url, weather) as way:
        monkeypatch.setenv("AWS_ENDPOINT_URL", way.url)
        s3_client.client.cache_clear()
        with monkeypatch.context() as stopping:
            stopping.setattr(Worker, "_stop_asked", lambda self: self.at == (0, 0, 1))
            folder = train(job, f"{s3}/run-1")
        assert not folder.result.exists()
        assert folder.newest() == (0, 0, 2)
        newest = folder.checkpoints()[-1]
        newest.write("state.pt", b"".join(newest.chunks("state.pt"))[:-1])
        train(job, f"{s3}/run-1")
        assert f"{newest} is damaged: state.pt has " in capsys.readouterr().out
        assert folder.place.folders("damaged_") == [f"damaged_{newest.name}"]
        assert_same(folder, train(job, tmp_path / "run-1"))
        facts = facts_of(folder)
    assert facts.evaluated is not None
    assert facts.evaluated.epoch == 0
    assert all(weather.counts[fault] for fault in FAULTS), weather.counts


def test_a_request_to_stop_in_a_bucket_is_heard(
    tiny_job: Callable[..., Job], s3: str, tmp_path: Path
) -> None:
    folder = RunFolder(f"{s3}/run-1")
    job = tiny_job(*SMALL)
    driver.prepare(folder, job)
    folder.ask_to_stop()
    Worker(job, Run(folder), FolderContext(folder, Ranks(), keep=2)).run()
    assert folder.newest() == (0, 0, 1)


def test_a_storage_that_is_gone_fails_the_run_and_the_checkpoint_before_stays(
    tiny_job: Callable[..., Job], s3: str, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tiny_job(*SMALL)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    def turn_bad(worker: Worker, _: object) -> None:
        if worker.at.step == 2:
            worker._saver.finish()
            way.become(Weather(share=1.0))

    monkeypatch.setattr(Worker, "_tell_broken", turn_bad)
    with on_the_way_to(s3_url) as way:
        monkeypatch.setenv("AWS_ENDPOINT_URL", way.url)
        s3_client.client.cache_clear()
        with pytest.raises(StorageTrouble):
            train(job, f"{s3}/run-1")
        way.become("well")
        folder = RunFolder(f"{s3}/run-1")
        assert run_checkpoints.latest(folder) is not None
        assert folder.newest() == (0, 0, 1)


def test_metrics_of_a_run_in_a_bucket_are_recorded_once(s3: str) -> None:
    folder = RunFolder(f"{s3}/run-1")
    for _ in range(2):
        Journal(folder).append(3, {"top1/8bit": 50.0})
    Journal(folder).append(6, {"top1/8bit": 60.0})
    lines, mark = Journal(folder).unsent()
    assert [(line.step, line.metrics) for line in lines] == [
        (3, {"top1/8bit": 50.0}),
        (6, {"top1/8bit": 60.0}),
    ]
    Journal(folder).mark_sent(mark)
    assert Journal(folder).waiting() == 0


@pytest.mark.parametrize("kind", ["disk", "s3"])
def test_the_newest_checkpoint_is_whole_whenever_its_writer_is_killed(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = str(tmp_path / "run-1") if kind == "disk" else f"{request.getfixturevalue('s3')}/run-1"
    assert kill(place, times=2, seed=1).times == 2
