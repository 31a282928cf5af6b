"""Copies of videos: the frames of their originals by number, whatever ended the command before."""

import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.curate import copies, manifest, video_copies
from orchestrator.curate.manifest import Options
from orchestrator.curate.outcome import Report, State
from orchestrator.errors import UsageError
from orchestrator.job.load import load_job
from orchestrator.job.schema import Job
from orchestrator.prepare import datasets
from orchestrator.store import s3_files
from orchestrator.store.place import folder_at
from tests.orchestrator.curate.here import Here
from tests.video.numbered import COUNT, numbers_in
from tests.video.test_right_frames import trim
from video import UnreadVideo, library
from video.decode import frames, probe
from video.pack import write_pack
from video.recode import Tool

QUICKSTART = Path(__file__).parents[3] / "jobs" / "quickstart"
SMALL = {
    "gop": Options("gop", 32, gop=8, crf=23),
    "pack": Options("pack", 32, frames=36, quality=90),
}
FORMS = ("irregular.mp4", "trimmed.mp4", "b-frames.avi", "transport.ts")

JOB = """
name: copied
model: {name: resnet18, widths: [4, 8, 16], depths: [1, 1, 1], num_segments: 4}
data: {name: activitynet, root: clips, annotations: lists/a.json, metric: top1, crop: 16,
       test_scale: 16, max_broken_share: 1.0}
method: {name: coquant}
optimizer: {lr: 0.05}
training: {epochs: 1, global_batch: 2}
"""


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of the test, with a cache of its own."""
    monkeypatch.setenv("ORCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def job_on(names: list[str], *overrides: str) -> Job:
    """Return a job on videos in clips/videos, the first of which are for training."""
    listed = {
        name.partition(".")[0]: {
            "subset": "validation" if number == len(names) - 1 else "training",
            "annotations": [{"label": "one"}],
        }
        for number, name in enumerate(names)
    }
    Path("clips/lists").mkdir(parents=True, exist_ok=True)
    Path("clips/lists/a.json").write_text(json.dumps({"database": listed}))
    Path("copied.yaml").write_text(JOB)
    return load_job("copied.yaml", overrides).job


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of numbered videos, each with a name of its own."""
    folder = tmp_path_factory.mktemp("numbered")
    subprocess.run([sys.executable, "-m", "tests.video.numbered", folder, *FORMS], check=True)
    for number, name in enumerate(FORMS):
        (folder / name).rename(folder / f"{number}-{name}")
    trim(folder / "1-trimmed.mp4", first=30, count=50)
    return folder


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def made(job: Job, form: str, folder: str = "out") -> Report:
    target = Path(folder).absolute()
    return copies.prepare(job, target, SMALL[form], hands=Here(), tell=lambda *_: None)


@pytest.mark.parametrize("form", ["gop", "pack"])
def test_a_copy_has_the_frames_of_its_original_by_number(written: Path, form: str) -> None:
    shutil.copytree(written, "clips/videos")
    job = job_on(names_in(written))
    report = made(job, form)
    assert report.counts == {"made": len(FORMS), "kept": 0, "failed": 0}
    for outcome in report.outcomes:
        assert outcome.copy is not None
        path = Path("out") / outcome.copy.name
        index = probe(path)
        first, count = (30, 50) if "trimmed" in path.name else (0, COUNT)
        assert index.frames == outcome.copy.frames == count
        parts = 36 if form == "pack" and count >= 72 else count
        asked = [(2 * part + 1) * count // (2 * parts) for part in range(parts)]
        shown = frames(path, index, asked)
        assert shown.shape[1:3] == (32, 128)
        assert numbers_in(shown) == [first + number for number in asked]
        if index.table is not None:
            assert index.table.starts.tolist() == list(range(0, count, 8))


def test_copies_are_made_of_what_there_is_of_a_data_set() -> None:
    quickstart(4)
    Path("clips/videos/v_0.mp4").unlink()
    report = made(load_job("copied.yaml", ["data.max_broken_share=0.1"]).job, "pack")
    assert report.counts == {"made": 3, "kept": 0, "failed": 1}


def quickstart(count: int) -> Job:
    """Return a job on some of the repository's own clips."""
    Path("clips/videos").mkdir(parents=True)
    for number, source in enumerate(sorted((QUICKSTART / "videos").glob("*.mp4"))[:count]):
        shutil.copyfile(source, f"clips/videos/v_{number}.mp4")
    return job_on([str(number) for number in range(count)])


def contents(folder: str) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in Path(folder).rglob("*")
        if file.is_file()
    }


def test_a_job_trains_on_the_folder_of_copies() -> None:
    job = quickstart(4)
    made(job, "pack")
    copied = load_job("copied.yaml", ["data.root=out"]).job
    sets = copies.open_datasets(copied)
    assert [len(one) for one in sets] == [3, 1]
    assert sets[0].source(0) == str(Path("out/videos/v_0.pack").absolute())
    assert sets[0].load(0, None).shape == (4, 3, 16, 16)


def test_a_pack_with_a_picture_that_cannot_be_read_is_no_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def damaged(target: Path, *rest: object) -> None:
        write_pack(target, *rest)
        content = bytearray(target.read_bytes())
        content[-3] ^= 1
        target.write_bytes(content)

    monkeypatch.setattr(video_copies, "write_pack", damaged)
    sets = copies.open_datasets(quickstart(2))
    root = str(Path("clips").absolute())
    copying = video_copies.VideoCopying(sets, root, Path("out"), SMALL["pack"], None, {})
    outcome = copying(copying.things()[0])
    assert (outcome.state, outcome.reason) == (State.FAILED, "the picture of frame 15 is damaged")
    assert not list(Path("out").rglob("*.pack"))


def test_a_video_that_a_shortage_hides_is_not_read_by_another_tool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def probe(path: Path) -> None:
        raise UnreadVideo(path, "there is too little memory")

    sets = copies.open_datasets(quickstart(2))
    monkeypatch.setattr(library, "probe", probe)
    root, tool = str(Path("clips").absolute()), Tool.PYAV
    copying = video_copies.VideoCopying(sets, root, Path("out"), SMALL["gop"], tool, {})
    outcome = copying(copying.things()[0])
    assert (outcome.state, outcome.reason) == (
        State.FAILED,
        "there is too little memory",
    )


def test_videos_in_a_bucket_are_copied_too(s3: str) -> None:
    made(quickstart(3), "pack", "expected")
    for name, content in contents("clips").items():
        folder_at(s3).write(f"clips/{name}", content)
    in_bucket = load_job("copied.yaml", [f"data.root={s3}/clips"]).job
    assert made(in_bucket, "pack").counts["made"] == 3
    expected, found = contents("expected"), contents("out")
    del expected["manifest.jsonl"], found["manifest.jsonl"]  # with other times
    assert found == expected
    assert made(in_bucket, "pack").counts["kept"] == 3


def test_an_object_of_the_same_size_with_another_content_is_copied_again(s3: str) -> None:
    job = quickstart(2)
    files = [Path("clips/videos/v_0.mp4"), Path("clips/videos/v_1.mp4")]
    size = max(file.stat().st_size for file in files) + 8
    one, two = (padded(file.read_bytes(), size) for file in files)
    for name, content in (("v_0.mp4", one), ("v_1.mp4", two)):
        folder_at(f"{s3}/clips").write(f"videos/{name}", content)
    folder_at(f"{s3}/clips").write("lists/a.json", Path("clips/lists/a.json").read_bytes())
    job = load_job("copied.yaml", [f"data.root={s3}/clips"]).job
    assert made(job, "pack").counts["made"] == 2
    folder_at(f"{s3}/clips").write("videos/v_0.mp4", two)
    datasets._opened.cache_clear()  # as in another process
    s3_files._tree.cache_clear()
    assert [one.state for one in made(job, "pack").outcomes] == ["made", "kept"]
    copied = contents("out/videos")
    assert copied["v_0.pack"] == copied["v_1.pack"]


def padded(content: bytes, size: int) -> bytes:
    """Return an MP4 file with a part at its end that readers skip."""
    return content + struct.pack(">I4s", size - len(content), b"free").ljust(size - len(content))


def test_class_folders_stay_even_if_no_video_of_them_can_be_copied() -> None:
    source = next((QUICKSTART / "videos").glob("*.mp4"))
    for name in ("train/a/0.mp4", "train/b/1.mp4", "val/b/2.mp4"):
        file = Path("folders") / name
        file.parent.mkdir(parents=True)
        shutil.copyfile(source, file)
    Path("folders/train/a/0.mp4").write_bytes(b"no video at all")
    job_on(["none"])
    data = ["data.name=video_folders", "data.root=folders"]
    text = JOB.replace(", annotations: lists/a.json, metric: top1", "")
    Path("folders.yaml").write_text(text)
    report = made(load_job("folders.yaml", data).job, "pack")
    assert [one.state for one in report.outcomes] == ["failed", "made", "made"]
    assert names_in(Path("out/train")) == ["a", "b"]


def test_only_what_changed_is_made_again() -> None:
    job = quickstart(4)
    assert made(job, "pack").counts["made"] == 4
    before = contents("out")
    assert made(job, "pack").counts == {"made": 0, "kept": 4, "failed": 0}
    assert contents("out") == before

    videos = Path("clips/videos")
    shutil.copyfile(videos / "v_1.mp4", videos / "v_0.mp4")
    os.utime(videos / "v_2.mp4")  # only its time is new
    Path("out/videos/v_3.pack").unlink()
    states = [one.state for one in made(job, "pack").outcomes]
    assert states == ["made", "kept", "kept", "made"]
    after = contents("out")
    assert after["videos/v_0.pack"] == before["videos/v_1.pack"]
    assert after["videos/v_3.pack"] == before["videos/v_3.pack"]
    known = manifest.read_manifest(Path("out"))
    assert known["videos/v_2.mp4"].source.mtime_ns == (videos / "v_2.mp4").stat().st_mtime_ns

    other = Options("pack", 16, frames=36, quality=90)
    report = copies.prepare(job, Path("out"), other, hands=Here(), tell=lambda *_: None)
    assert report.counts["made"] == 4


def test_what_cannot_be_copied_is_named_and_the_rest_is_copied() -> None:
    job = quickstart(5)
    Path("clips/videos/v_0.mp4").unlink()
    Path("clips/videos/v_4.mp4").unlink()
    Path("clips/videos/v_4.mp4").symlink_to("/dev/null")
    Path("clips/videos/v_1.mp4").write_bytes(b"no video at all")
    report = made(job, "gop")
    assert [one.state for one in report.outcomes] == [*["failed"] * 2, *["made"] * 2, "failed"]
    assert report.outcomes[0].reason == "no such file"
    assert report.outcomes[4].reason == "cannot be read (it is no regular file)"
    assert "cannot be opened" in report.outcomes[1].reason
    assert "PyAV cannot read it" in report.outcomes[1].reason
    assert sorted(contents("out")) == [
        *("lists/a.json", "manifest.jsonl", "videos/v_2.mp4", "videos/v_3.mp4")
    ]


def test_folders_that_do_not_fit_are_refused() -> None:
    job = quickstart(2)
    with pytest.raises(UsageError, match="is the folder of the originals"):
        made(job, "pack", "clips")
    made(job, "pack")
    with pytest.raises(UsageError, match="holds copies in the format pack; name another folder"):
        made(job, "gop")
    with (
        manifest.at_work_in(Path("out")),
        pytest.raises(UsageError, match="Another `orch data prepare` is at work in"),
    ):
        made(job, "pack")


def test_without_a_tool_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "find_tool", lambda: None)
    job = quickstart(2)
    with pytest.raises(UsageError, match=r"pip install 'orch\[prepare\]', or --format pack"):
        made(job, "gop")
    assert made(job, "pack").counts["made"] == 2


COMMAND = """
import sys
from pathlib import Path
from orchestrator.job.load import load_job
from tests.orchestrator.curate.test_copies import made
made(load_job("copied.yaml", []).job, "gop")
"""


def test_a_command_that_is_killed_and_run_again_ends_with_the_same_files() -> None:
    job = quickstart(6)
    made(job, "gop", "whole")
    begun = subprocess.Popen([sys.executable, "-c", COMMAND])
    enough = random.Random(time.time_ns()).randrange(1, 4)
    until(lambda: len(list(Path("out/videos").glob("*.mp4"))) >= enough)
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    with Path("out/manifest.jsonl").open("a") as file:
        file.write('{"name": "videos/v_5.mp4", "fra')  # a line that a kill cuts short
    Path("out/videos/.v_5.mp4.0123abcd.preparing").write_bytes(b"half")
    report = again_when_free(job)
    assert report.counts["kept"] >= enough - 2
    assert report.counts["made"] > 0
    assert contents("out") == contents("whole")


def again_when_free(job: Job) -> Report:
    """Prepare again, as soon as the killed command's processes have ended too."""
    end = time.monotonic() + 30
    while True:
        try:
            return made(job, "gop")
        except UsageError:
            assert time.monotonic() < end
            time.sleep(0.05)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="no ffmpeg here")
def test_ffmpeg_makes_the_same_copies(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "find_tool", lambda: Tool.FFMPEG)
    test_a_copy_has_the_frames_of_its_original_by_number(written, "gop")
