"""What the trials of a search share, and data sets whose lists are in a bucket."""

import json
import os
import re
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import pytest

from orchestrator import home
from orchestrator.errors import DataError, UsageError
from orchestrator.job.load import load_job
from orchestrator.job.schema import Job
from orchestrator.prepare import preflight
from orchestrator.prepare.datasets import open_datasets, remarks
from orchestrator.store import s3_client
from orchestrator.store.place import folder_at
from orchestrator.store.run_folder import WholeFile
from orchestrator.store.s3_copy import copy_here
from video.activitynet import ActivityNet, ActivityNetSettings
from video.library import cache_folder

JOBS = Path(__file__).parents[3] / "jobs"
LISTED = JOBS / "quickstart" / "activity_net.v1-3.min.json"


def test_jobs_that_differ_elsewhere_share_their_data_sets(tiny_job: Callable[..., Job]) -> None:
    one, other = open_datasets(tiny_job()), open_datasets(tiny_job("optimizer.lr=0.3"))
    assert one[0] is other[0]
    assert one[1] is other[1]
    smaller = open_datasets(tiny_job("data.crop=12"))
    assert smaller[0].sample_shape == (3, 12, 12)
    assert open_datasets(tiny_job())[0].sample_shape == (3, 16, 16)


def test_classes_without_samples_are_named(tmp_path: Path) -> None:
    labels = {"training": "abe", "validation": "ac", "testing": "d"}
    database = {
        f"{subset}_{label}": {"subset": subset, "annotations": [{"label": label}]}
        for subset, found in labels.items()
        for label in found
    }
    (tmp_path / "list.json").write_text(json.dumps({"database": database}))
    settings = ActivityNetSettings(root=str(tmp_path), annotations="list.json", videos=".")
    sets = [ActivityNet(settings, train=train, num_segments=1) for train in (True, False)]
    assert remarks(*sets) == [
        "There is no validation sample of b, e.",
        "There is no training sample of c.",
        "There is neither a training nor a validation sample of d.",
    ]
    assert remarks(sets[0], sets[0])[0] == (
        "There is neither a training nor a validation sample of c, d."
    )


@pytest.fixture
def clips(s3: str, tmp_path: Path) -> Callable[..., Job]:
    """Return the quickstart on the first eight clips of each subset, listed in a bucket."""

    def job(uri: str = f"{s3}/clips.json", *, most: int = 8) -> Job:
        listed = json.loads(LISTED.read_text())["database"]
        few = {
            name: entry
            for subset in ("training", "validation")
            for name, entry in [i for i in listed.items() if i[1]["subset"] == subset][:most]
        }
        folder_at(s3).write("clips.json", json.dumps({"database": few}).encode())
        given = (f"data.annotations={uri}", f"output={tmp_path}", "training.global_batch=4")
        return load_job(JOBS / "quickstart.yaml", given).job

    return job


def kept() -> list[Path]:
    return sorted((cache_folder() / "objects").glob("*/*.json"))


def test_annotations_in_a_bucket_are_fetched_once_until_they_change(
    clips: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = clips()
    preflight.check(job)
    copies = kept()
    [copy] = copies
    assert [len(each) for each in open_datasets(job)] == [8, 8]
    before = copy.stat().st_mtime_ns
    open_datasets(job)
    assert (kept(), copy.stat().st_mtime_ns) == (copies, before)
    os.truncate(copy, 9)  # as a full disk or a hand may leave it
    assert [len(each) for each in open_datasets(job)] == [8, 8]
    assert [len(each) for each in open_datasets(clips(most=6))] == [6, 6]


def test_an_object_that_changes_while_it_is_fetched_is_fetched_whole(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_at(s3)
    folder.write("list.txt", b"old")
    asked = s3_client.client()
    look = asked.head_object

    def changed(**named: str) -> object:
        found = look(**named)
        monkeypatch.setattr(asked, "head_object", look)
        folder.write("list.txt", b"new")
        return found

    monkeypatch.setattr(asked, "head_object", changed)
    assert copy_here(f"{s3}/list.txt").read_bytes() == b"new"
    folder.write("list.txt", b"2nd")
    assert copy_here(f"{s3}/list.txt").read_bytes() == b"2nd"


def test_a_copy_in_use_stays_and_others_go_when_there_is_no_room(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_CACHE_GB", "12e-9")  # bytes for two copies
    for name in ("in_use", "let_go", "new"):
        folder_at(s3).write(name, b"12345")
    in_use = copy_here(f"{s3}/in_use")
    let_go = fetched_by_another(f"{s3}/let_go")
    new = copy_here(f"{s3}/new")
    assert [path.exists() for path in (in_use, let_go, new)] == [True, False, True]


def fetched_by_another(uri: str) -> Path:
    """Return the copy that another process has used, which has ended."""
    if not (child := os.fork()):
        s3_client.client.cache_clear()
        (home.folder("seen") / "copy").write_text(str(copy_here(uri)))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    return Path((home.folder("seen") / "copy").read_text())


def test_of_processes_that_want_the_same_object_one_fetches_it(s3: str) -> None:
    WholeFile(folder_at(s3), "list.txt").write("a list")
    children, at_once = [], get_context("fork").Barrier(4)
    for _ in range(4):
        if not (child := os.fork()):
            s3_client.client.cache_clear()
            folder_at(s3).exists("list.txt")
            at_once.wait(30)
            inode = copy_here(f"{s3}/list.txt").stat().st_ino
            (home.folder("seen") / str(os.getpid())).write_text(str(inode))
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert len({path.read_text() for path in home.folder("seen").iterdir()}) == 1


def test_what_is_wrong_with_annotations_in_a_bucket_is_said_before_anything_starts(
    clips: Callable[..., Job], s3: str
) -> None:
    with pytest.raises(
        UsageError, match=rf"^data: annotations: {s3}/no.json: there is no such obj"
    ):
        preflight.check(clips(f"{s3}/no.json"))
    with pytest.raises(UsageError, match=r"^data: s3://nobodys/.*: there is no bucket nobodys"):
        preflight.check(clips("s3://nobodys/clips.json"))
    folder_at(s3).write("text.json", b"no list")
    named = rf"{s3}/text\.json cannot be read as JSON"
    with pytest.raises(UsageError, match=rf"^data: {named}"):
        preflight.check(clips(f"{s3}/text.json"))
    with pytest.raises((DataError, UsageError), match=named):
        open_datasets(clips(f"{s3}/text.json"))


def test_a_server_that_is_away_is_named(
    clips: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = clips()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3_client.client.cache_clear()
    with pytest.raises(UsageError, match=r"^data: s3://.*is AWS_ENDPOINT_URL right"):
        preflight.check(job)


def test_where_a_file_of_a_disk_or_an_object_is_expected_another_place_is_refused(
    tmp_path: Path,
) -> None:
    for given, why in (
        ("data.annotations=s3://bucket", "expected a file, or s3://BUCKET/KEY"),
        ("data.annotations=http://host/x", "expected a path, or s3://BUCKET/PREFIX"),
        ("data.videos=gs://bucket/videos", "expected a path of a disk, got 'gs://bucket/videos'"),
        ("data.root=gs://bucket/root", "expected a path, or s3://BUCKET/PREFIX, got 'gs://bucket"),
    ):
        with pytest.raises(UsageError, match=re.escape(why)):
            load_job(JOBS / "quickstart.yaml", [given])
