"""What else is in a folder of copies: originals, files of another origin, copies of other jobs."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from orchestrator.curate import copies, image_shards, manifest, video_copies
from orchestrator.curate.manifest import Options
from orchestrator.curate.outcome import Report
from orchestrator.errors import MissingData, UsageError
from orchestrator.job.load import load_job
from orchestrator.prepare import datasets
from tests.orchestrator.curate import test_image_shards
from tests.orchestrator.curate.here import Here
from tests.orchestrator.curate.test_copies import SMALL, contents, made, quickstart

QUICKSTART = Path(__file__).parents[3] / "jobs" / "quickstart"
FOLDERS = """
name: folders
model: {name: resnet18, widths: [4, 8, 16], depths: [1, 1, 1], num_segments: 4}
data: {name: video_folders, root: R/meta, crop: 16, test_scale: 16, max_broken_share: 1.0}
method: {name: coquant}
optimizer: {lr: 0.05}
training: {epochs: 1, global_batch: 2}
"""


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of the test, with a cache of its own."""
    monkeypatch.setenv("ORCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(image_shards, "PER_SHARD", 2)


def class_folders(*names: str) -> None:
    """Write videos, and a job on video folders."""
    clips = sorted((QUICKSTART / "videos").glob("*.mp4"))
    for name, source in zip(names, clips, strict=False):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, name)
    Path("folders.yaml").write_text(FOLDERS)


def on_folders(root: str = "R/meta", *given: str) -> Any:
    datasets._opened.cache_clear()  # as in another process
    return load_job("folders.yaml", [f"data.root={root}", *given]).job


def on_images(*given: str) -> Any:
    for name, content in test_image_shards.FILES.items():
        if not (file := Path("pictures", name)).exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    Path("job.yaml").write_text(test_image_shards.JOB)
    return load_job("job.yaml", given).job


def copied(job: Any, folder: str = "copies", *, remove: bool = False, form: str = "pack") -> Report:
    options = SMALL.get(form) or Options("shards", 48, quality=90)
    hands = Here()
    return copies.prepare(
        job, Path(folder), options, hands=hands, tell=lambda *_: None, remove=remove
    )


def test_videos_beside_the_root_are_not_copied_over_themselves() -> None:
    class_folders("R/vids/A/one.mp4", "R/vids/A/two.mp4")
    for name, listed in (("trainlist01.txt", "A/one.mp4 1"), ("testlist01.txt", "A/two.mp4 1")):
        Path("R/meta/lists").mkdir(parents=True, exist_ok=True)
        Path("R/meta/lists", name).write_text(f"{listed}\n")
    Path("R/meta/lists/classInd.txt").write_text("1 A\n")
    before = contents("R")
    job = on_folders("R/meta", "data.lists=lists", "data.videos=../vids")
    report = copied(job, "R/copies", form="gop")
    assert [one.state for one in report.outcomes] == ["failed", "failed"]
    assert "not below" in report.outcomes[0].reason
    assert contents("R").items() >= before.items()
    Path("R/meta/lists").rename("R/lists")
    outside = on_folders("R/meta", "data.lists=../lists", "data.videos=../vids")
    copied(outside, "R/copies/deep/copies", form="gop")
    assert not Path("R/copies/deep/lists").exists()


def test_folders_that_lead_elsewhere_are_refused() -> None:
    class_folders("R/meta/train/a/1.mp4", "R/meta/val/a/2.mp4")
    before = contents("R")
    Path("copies").mkdir()
    Path("other").mkdir()
    Path("copies/train").symlink_to(Path("other").absolute())
    with pytest.raises(UsageError, match=r"leads to .*other/a, out of copies"):
        copied(on_folders())
    Path("copies/train").unlink()
    Path("linked").mkdir()
    copied(on_folders(), form="gop")
    for subset in ("train", "val"):
        Path("linked", subset).symlink_to(Path("copies", subset).absolute())
    copies_were = contents("copies")
    with pytest.raises(UsageError, match="is a folder of the originals"):
        copied(on_folders("linked"), form="gop")
    assert contents("R") == before
    assert contents("copies") == copies_were
    Path("linked/train").unlink()
    Path("linked/train/a").mkdir(parents=True)
    Path("linked/train/a/1.mp4").symlink_to(Path("copies/train/a/1.mp4").absolute())
    Path("linked/val").unlink()
    shutil.copytree("R/meta/val", "linked/val")
    one, two = copied(on_folders("linked"), form="gop").outcomes
    assert (one.state, two.state) == ("failed", "kept")
    assert "leads to it" in one.reason
    assert contents("copies")["train/a/1.mp4"] == copies_were["train/a/1.mp4"]


def test_what_prepare_has_not_made_is_not_replaced() -> None:
    class_folders("R/meta/train/a/1.mp4", "R/meta/val/a/2.mp4")
    Path("copies/train/a").mkdir(parents=True)
    Path("copies/train/a/1.pack").write_bytes(b"precious")
    with pytest.raises(UsageError, match=r"copies/train/a/1\.pack is there, not made by"):
        copied(on_folders())
    assert contents("copies") == {"train/a/1.pack": b"precious"}
    Path("copies/train/a/1.pack").rename("copies/manifest.jsonl")
    with pytest.raises(UsageError, match="no line of it is of a copy"):
        copied(on_folders())
    Path("copies/manifest.jsonl").write_text('{"other": 1}\n')
    with pytest.raises(UsageError, match="line 1: it has no 'name'"):
        copied(on_folders())
    assert contents("copies") == {"manifest.jsonl": b'{"other": 1}\n'}
    Path("out/lists").mkdir(parents=True)
    Path("out/lists/a.json").write_text("mine")
    with pytest.raises(UsageError, match=r"out/lists/a\.json is there"):
        made(quickstart(2), "pack")
    assert contents("out") == {"lists/a.json": b"mine"}


def test_what_a_killed_command_made_and_did_not_note_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class_folders("R/meta/train/a/1.mp4", "R/meta/val/a/2.mp4", "R/meta/val/a/3.mp4")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(manifest, "add_to_manifest", killed)
        with pytest.raises(KeyboardInterrupt):
            copied(on_folders())
    assert Path("copies/train/a/1.pack").exists()
    Path("copies/.manifest.jsonl.0123abcd").write_bytes(b"half")
    Path("copies/..begun.json.0123abcd").write_bytes(b"half")
    assert copied(on_folders()).counts["made"] == 3
    assert sorted(contents("copies")) == [
        *("manifest.jsonl", "train/a/1.pack", "val/a/2.pack", "val/a/3.pack")
    ]


def test_shards_of_images_that_are_no_longer_in_the_job_are_removed() -> None:
    Path("pictures").mkdir()
    Path("pictures/out.txt").write_text(
        "".join(f"{name}\n" for name in test_image_shards.FILES if name.startswith("train/dog"))
    )
    assert copied(on_images(), form="shards").counts["made"] == 4
    report = copied(on_images("data.exclude=out.txt"), form="shards")
    assert report.removed == ("train/train-00001.tar", "train/train-00002.tar")
    assert sorted(contents("copies")) == [
        *("manifest.jsonl", "out.txt", "train/train-00000.tar", "val/val-00000.tar")
    ]
    shards = ["train/train-00000.tar", "val/val-00000.tar"]
    assert sorted(manifest.read_manifest(Path("copies"))) == shards
    assert copied(on_images(), form="shards").counts["made"] == 2


def test_copies_of_videos_that_are_not_in_the_job_are_removed_if_so_wished() -> None:
    class_folders("R/meta/train/a/1.mp4", "R/meta/train/b/2.mp4", "R/meta/val/a/3.mp4")
    copied(on_folders())
    shutil.rmtree("R/meta/train/b")
    Path("R/meta/out.txt").write_text("val/a/4.mp4\n")
    shutil.copyfile("R/meta/val/a/3.mp4", "R/meta/val/a/4.mp4")
    before = contents("copies")
    with pytest.raises(UsageError, match=r"1 copies .* for instance train/b/2\.pack.*--remove-oth"):
        copied(on_folders("R/meta", "data.exclude=out.txt"))
    assert contents("copies") == before
    report = copied(on_folders("R/meta", "data.exclude=out.txt"), remove=True)
    assert report.removed == ("train/b/2.pack",)
    assert not Path("copies/train/b").exists()
    dataset = copies.open_datasets(on_folders("copies"))[0]
    assert [Path(dataset.source(n)).name for n in range(len(dataset))] == ["1.pack"]


def test_an_original_of_another_ending_takes_the_place_of_the_first_in_the_manifest() -> None:
    class_folders("R/meta/train/a/1.mp4", "R/meta/val/a/3.mp4")
    copied(on_folders())
    Path("R/meta/train/a/1.mp4").rename("R/meta/train/a/1.mov")
    report = copied(on_folders())
    assert (report.counts["made"], report.removed) == (1, ())
    assert sorted(manifest.read_manifest(Path("copies"))) == ["train/a/1.mov", "val/a/3.mp4"]


@pytest.mark.parametrize("form", ["pack", "gop"])
def test_names_may_be_as_long_as_the_disk_bears_and_longer_ones_fail_alone(form: str) -> None:
    longest = "x" * (os.pathconf(".", "PC_NAME_MAX") - len(".mp4"))
    class_folders("R/meta/train/a/1.mp4", f"R/meta/val/a/{longest}.mp4")
    one, two = copied(on_folders(), form=form).outcomes
    assert one.state == "made"
    assert two.state == ("failed" if form == "pack" else "made")
    assert two.reason == ("its copy cannot be written (File name too long)" * (form == "pack"))


def test_a_folder_of_copies_that_vanishes_is_no_fault_of_the_originals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class_folders("R/meta/train/a/1.mp4", "R/meta/val/a/2.mp4")

    def vanished(scratch: Path, *_: object) -> None:
        shutil.rmtree(scratch.parent)
        scratch.write_bytes(b"")

    monkeypatch.setattr(video_copies, "write_pack", vanished)
    reasons = {one.reason for one in copied(on_folders()).outcomes}
    assert reasons == {"its copy cannot be written (No such file or directory)"}


@pytest.mark.parametrize("output", ["pictures/train", "pictures/train/cat", "pictures/val/new"])
def test_copies_are_not_made_among_the_images_of_a_job(output: str) -> None:
    job = on_images()
    before = contents("pictures")
    with pytest.raises(UsageError, match="would take the copies for more of them"):
        copied(job, output, form="shards")
    assert contents("pictures") == before


@pytest.mark.parametrize("output", ["R/meta/train", "R/meta/val/b/c"])
def test_copies_are_not_made_among_the_videos_of_a_job(output: str) -> None:
    class_folders("R/meta/train/a/1.mp4", "R/meta/train/b/2.mp4", "R/meta/val/a/3.mp4")
    before = contents("R")
    with pytest.raises(UsageError, match="would take the copies for more of them"):
        copied(on_folders(), output)
    assert contents("R") == before


def test_copies_hide_nothing_for_which_a_job_on_the_originals_is_refused() -> None:
    class_folders("R/meta/train/a/1.mp4", "R/meta/train/b/2.mp4", "R/meta/val/a/3.mp4")
    Path("R/meta/train/empty").mkdir()
    with pytest.raises(MissingData, match="empty"):
        copied(on_folders(), "out")
    assert not Path("out").exists()
