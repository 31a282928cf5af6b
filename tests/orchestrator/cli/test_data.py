"""orch data: what it finds in a small data set with something wrong in it."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from orchestrator.curate import pool, show
from orchestrator.data.loader import train_batches
from orchestrator.drawing import contact_sheet
from orchestrator.job.load import load_job
from orchestrator.prepare.datasets import open_datasets, remarks
from tests.orchestrator.cli.conftest import Orch
from tests.orchestrator.curate.here import Here
from tests.real_data import real_data
from video.decode import probe

QUICKSTART = Path(__file__).parents[3] / "jobs" / "quickstart"

CLIPS = """
name: clips
model: {name: resnet18, widths: [4, 8, 16], depths: [1, 1, 1], num_segments: 3}
data: {name: activitynet, root: clips, annotations: a.json, metric: top1, crop: 32, test_scale: 32}
method: {name: coquant}
optimizer: {lr: 0.05}
training: {epochs: 1, global_batch: 2}
"""


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in this process: the start of another one takes seconds."""
    monkeypatch.setattr(pool, "Processes", lambda _: Here())


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with four training clips and three to evaluate on; clips.yaml trains on it."""
    monkeypatch.setenv("ORCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "clips.yaml").write_text(CLIPS)
    folder = tmp_path / "clips"
    (folder / "videos").mkdir(parents=True)
    listed = {}
    for number, source in enumerate(sorted((QUICKSTART / "videos").glob("*.mp4"))[:7]):
        shutil.copyfile(source, folder / "videos" / f"v_{number}.mp4")
        subset = "training" if number < 4 else "validation"
        label = {"label": "even" if number % 2 == 0 else "odd"}
        listed[str(number)] = {"subset": subset, "annotations": [label]}
    (folder / "a.json").write_text(json.dumps({"database": listed}))
    return folder


@pytest.fixture
def damaged(clips: Path) -> Path:
    """The same with one that is missing, one that is broken, and one that is read in order."""
    videos = clips / "videos"
    videos.joinpath("v_1.mp4").unlink()
    videos.joinpath("v_4.mp4").write_bytes(b"no video at all")
    videos.joinpath("v_6.mp4").unlink()
    subprocess.run(
        [sys.executable, "-m", "tests.video.numbered", videos, "b-frames.avi"], check=True
    )
    videos.joinpath("b-frames.avi").rename(videos / "v_6.avi")
    return clips


LENIENT = ("--set", "data.max_broken_share=0.9")


def test_check_lists_what_is_wrong_and_a_job_can_leave_it_out(orch: Orch, damaged: Path) -> None:
    done = orch("data", "check", "clips.yaml", *LENIENT, "--output", "lists/broken.txt")
    assert done.exit_code == 1
    rows = [line.split()[:4] for line in done.stdout.splitlines() if "videos/" in line]
    assert rows == [
        ["train", "missing", "videos/v_1.*", "no"],
        ["val", "broken", "videos/v_4.mp4", "cannot"],
        ["val", "in", "order", "videos/v_6.avi"],
    ]
    assert "7 samples: 1 missing, 1 broken, 1 in order." in done.stdout
    written = Path("lists/broken.txt")
    assert written.read_text() == "videos/v_1.*\nvideos/v_4.mp4\n"
    assert f"data.exclude={written.absolute()}" in done.stderr

    again = ("data", "check", "clips.yaml", "--set", f"data.exclude={written.absolute()}")
    done = orch(*again, "--json", "--every-frame")
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert (report["samples"], report["counts"]["in order"]) == (5, 1)


def test_a_second_check_adds_to_the_list_that_a_job_leaves_out(orch: Orch, damaged: Path) -> None:
    listed = damaged / "out.txt"
    listed.write_text("videos/v_1.*\nvideos/absent.mp4\n")
    command = ("data", "check", "clips.yaml", *LENIENT, "--set", "data.exclude=out.txt")
    done = orch(*command, "--output", str(listed))
    assert done.exit_code == 1
    assert listed.read_text() == "videos/absent.mp4\nvideos/v_1.*\nvideos/v_4.mp4\n"
    assert "out.txt leaves out 1 of 4 samples." in done.stderr
    assert "1 of the 2 names in data.exclude are in neither set" in done.stderr
    again = ("data", "check", "clips.yaml", "--set", f"data.exclude={listed}")
    assert orch(*again, "--output", str(listed)).exit_code == 0
    assert listed.read_text() == "videos/absent.mp4\nvideos/v_1.*\nvideos/v_4.mp4\n"


def test_what_is_written_has_to_be_on_this_machine(orch: Orch, clips: Path) -> None:
    for command in (("check",), ("prepare", "--format", "pack"), ("show",)):
        done = orch("data", *command, "clips.yaml", "--output", "s3://models/x.png")
        assert done.exit_code == 2
        assert "'s3://models/x.png' is no path of this machine" in done.stderr
    assert not Path("s3:").exists()


def test_what_was_left_out_of_the_originals_is_left_out_of_the_copies(
    orch: Orch, damaged: Path
) -> None:
    (damaged / "videos" / "v_4.mp4").rename(damaged / "videos" / "v_4.avi")
    assert orch("data", "check", "clips.yaml", *LENIENT, "--output", "clips/out.txt").exit_code == 1
    job = ("clips.yaml", "--set", "data.exclude=out.txt")
    done = orch("data", "prepare", *job, "--format", "pack", "--output", "copies")
    assert done.exit_code == 0, done.stderr
    on_copies = load_job("clips.yaml", ["data.exclude=out.txt", "data.root=copies"]).job
    assert [(len(one), one.num_missing) for one in open_datasets(on_copies)] == [(3, 0), (2, 0)]


@pytest.mark.parametrize("options", [(), ("--every-frame",)])
def test_damage_within_a_video_is_found(orch: Orch, clips: Path, options: tuple[str, ...]) -> None:
    broken = clips / "videos" / "v_2.mp4"
    table = probe(broken).table
    assert table is not None
    content = bytearray(broken.read_bytes())
    start = int(table.offsets[7])  # the length of a part of a frame that no test clip shows
    content[start : start + 4] = b"\xff\xff\xff\xff"
    broken.write_bytes(content)
    done = orch("data", "check", "clips.yaml", "--json", *options)
    assert [one["name"] for one in json.loads(done.stdout)["findings"]] == ["videos/v_2.mp4"]


def test_a_file_that_was_mended_is_no_longer_broken(orch: Orch, clips: Path) -> None:
    good = (clips / "videos" / "v_0.mp4").read_bytes()
    (clips / "videos" / "v_0.mp4").write_bytes(b"")
    assert orch("data", "check", "clips.yaml").exit_code == 1
    (clips / "videos" / "v_0.mp4").write_bytes(good)
    assert orch("data", "check", "clips.yaml").exit_code == 0


def test_names_that_are_in_no_set_are_remarked_on(clips: Path) -> None:
    (clips / "out.txt").write_text("videos/v_0.mp4\nvideos/v_5.mp4\nvideos/nobody.mp4\n")
    train_set, val_set = open_datasets(load_job("clips.yaml", ["data.exclude=out.txt"]).job)
    assert (len(train_set), len(val_set)) == (3, 2)
    said = remarks(train_set, val_set)
    assert [line.partition(" leaves out ")[2] for line in said[:2]] == [
        "1 of 4 samples.",
        "1 of 3 samples.",
    ]
    assert said[2].startswith("1 of the 3 names in data.exclude are in neither set, for instance")


def test_a_class_of_which_nothing_is_left_is_remarked_on(clips: Path) -> None:
    (clips / "out.txt").write_text("videos/v_0.mp4\nvideos/v_2.mp4\n")
    said = remarks(*open_datasets(load_job("clips.yaml", ["data.exclude=out.txt"]).job))
    assert said[1:] == ["With data.exclude there is no training sample of even."]


def test_a_list_that_is_not_there_is_named_before_anything_else(orch: Orch, clips: Path) -> None:
    done = orch("data", "check", "clips.yaml", "--set", "data.exclude=nowhere.txt")
    assert done.exit_code == 2
    assert f"exclude: no file {clips / 'nowhere.txt'}." in done.stderr


def test_copies_are_reported_and_jobs_can_train_on_them(orch: Orch, damaged: Path) -> None:
    command = ("data", "prepare", "clips.yaml", *LENIENT, "--format", "pack", "--processes", "1")
    done = orch(*command, "--output", "copies")
    assert done.exit_code == 1
    assert "videos/v_1.*" in done.stdout
    assert "no such file" in done.stdout
    assert "7 copies: 5 made, 2 failed." in done.stdout
    root = Path("copies").absolute()
    assert done.stdout.splitlines()[-1] == f"Train on the copies with --set data.root={root}"
    again = ("data", "check", "clips.yaml", *LENIENT, "--set", f"data.root={root}", "--json")
    counts = json.loads(orch(*again).stdout)["counts"]
    assert counts == {"missing": 2, "broken": 0, "short": 0, "in order": 0}
    report = json.loads(orch(*command, "--output", "copies", "--json").stdout)
    assert report["counts"] == {"made": 0, "kept": 5, "failed": 2}
    assert report["outcomes"][0]["copy"]["options"]["frames"] == 27


def test_processes_of_this_machine_are_not_those_of_a_cluster(orch: Orch, clips: Path) -> None:
    done = orch(
        "data", "check", "clips.yaml", "--processes", "2", "--address", "http://127.0.0.1:9"
    )
    assert done.exit_code == 2
    assert "the work is done on http://127.0.0.1:9 (--address)" in done.stderr
    done = orch("data", "check", "clips.yaml", "--address", "http://127.0.0.1:9")
    assert done.exit_code == 3
    assert "http://127.0.0.1:9" in done.stderr


def test_images_are_copied_into_shards(orch: Orch, tmp_path: Path) -> None:
    command = ("data", "prepare", str(images(tmp_path)), "--format", "shards")
    done = orch(*command, "--output", "copies", "--processes", "1")
    assert done.exit_code == 1, done.stderr
    assert "val/b/0.png" in done.stdout
    assert "2 copies: 2 made." in done.stdout
    rows = (Path("copies/manifest.jsonl")).read_text().splitlines()
    assert [json.loads(row)["options"]["short_side"] for row in rows] == [288, 288]


def test_images_are_not_copied_as_videos(orch: Orch, tmp_path: Path) -> None:
    done = orch("data", "prepare", str(images(tmp_path)), "--format", "pack", "--output", "copies")
    assert done.exit_code == 2
    assert "--format pack copies videos; 'imagenet' holds none." in done.stderr


def test_stats_count_samples_classes_lengths_and_sizes(orch: Orch, damaged: Path) -> None:
    command = ("data", "stats", "clips.yaml", *LENIENT)
    train, val = json.loads(orch(*command, "--json").stdout)
    assert (train["samples"], train["classes"]) == (4, {"even": 2, "odd": 2})
    assert (val["samples"], val["classes"], val["present"]) == (3, {"even": 2, "odd": 1}, 2)
    assert (train["unusable"], val["unusable"]) == (1, 1)
    assert train["frames"] == {"least": 16, "median": 16, "mean": 16, "most": 16, "total": 48}
    assert (val["frames"]["most"], val["height"]["least"], val["width"]["most"]) == (120, 48, 192)
    sizes = [(damaged / "videos" / f"v_{number}.mp4").stat().st_size for number in (0, 2, 3)]
    assert train["bytes"]["total"] == sum(sizes)
    rows = [line.split() for line in orch(*command, "--classes").stdout.splitlines()]
    assert rows[-2:] == [["even", "2", "2"], ["odd", "2", "1"]]
    assert "16 - 68 - 120" in orch(*command).stdout


def test_stats_of_images_leave_out_what_has_no_size(orch: Orch, tmp_path: Path) -> None:
    job = str(images(tmp_path))
    with Image.open(tmp_path / "images/train/a/1.png") as picture:
        picture.save(tmp_path / "odd.dds")
    damaged = bytearray((tmp_path / "odd.dds").read_bytes())
    damaged[80:84] = bytes(4)  # says what form it has
    (tmp_path / "images/train/a/1.png").write_bytes(damaged)
    train, val = json.loads(orch("data", "stats", job, "--json").stdout)
    assert (train["samples"], train["unusable"], train["frames"]) == (3, 1, None)
    assert (train["height"]["most"], train["width"]["least"]) == (40, 40)
    assert (val["samples"], val["of_a_class"]["median"]) == (2, 1)


def test_what_is_shown_of_an_epoch_is_what_a_run_trains_on(clips: Path) -> None:
    job = load_job("clips.yaml", ["seed=5"]).job
    shown = show.samples(job, train=True, count=4, epoch=3)
    train_set, _ = open_datasets(job)
    steps = train_batches(train_set, job.plans[0], rank=0, seed=5, epoch=3)
    batches = [batch for step in steps for batch in step]
    inputs = torch.cat([batch.inputs for batch in batches])
    for one, clip, label in zip(shown, inputs, torch.cat([b.labels for b in batches]), strict=True):
        assert one.pixels.shape == (32, 3 * 32 + 2 * show.GAP, 3)
        for number, frame in enumerate(clip):
            left = number * (32 + show.GAP)
            part = one.pixels[:, left : left + 32].transpose(2, 0, 1)
            assert torch.equal(torch.from_numpy(part), frame)
        assert one.label == train_set.class_names[label]


def test_samples_are_drawn_with_their_labels_below(orch: Orch, damaged: Path) -> None:
    done = orch("data", "show", "clips.yaml", *LENIENT, "--split", "val", "--output", "a/val.png")
    assert done.exit_code == 0
    with Image.open("a/val.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 300
    job = load_job("clips.yaml", [LENIENT[1]]).job
    shown = show.samples(job, train=False, count=9, epoch=0)
    assert [one.label[:7] for one in shown] == ["broken:", "odd", "even"]
    figure = contact_sheet("here", [(one.pixels, one.label) for one in shown], columns=2)
    assert [axes.get_xlabel() for axes in figure.axes] == [*(one.label for one in shown), ""]
    assert show._short("broken: \udcff.mp4") == "broken: \ufffd.mp4"  # matplotlib takes text alone
    done = orch("data", "show", "clips.yaml", "--output", "val.jpg")
    assert done.exit_code == 2
    assert "--output val.jpg: the name of a picture ends in .png" in done.stderr


def images(folder: Path) -> Path:
    """Return a job on five images, the last of which is broken."""
    for name in ("train/a/0", "train/a/1", "train/b/0", "val/a/0", "val/b/0"):
        file = folder / "images" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (9, 8, 7)).save(file)
    file.write_bytes(file.read_bytes()[:50])
    job = folder / "images.yaml"
    job.write_text(
        "name: images\nmodel: {name: resnet18_cifar, widths: [4, 8], depths: [1, 1]}\n"
        "data: {name: imagenet, root: images, crop: 32, resize: 32}\nmethod: {name: joint}\n"
        "optimizer: {lr: 0.05}\ntraining: {epochs: 1, global_batch: 2}\n"
    )
    return job


def test_images_are_checked_and_left_out_too(orch: Orch, tmp_path: Path) -> None:
    job = str(images(tmp_path))
    done = orch("data", "check", job, "--output", "images/out.txt")
    assert done.exit_code == 1
    assert Path("images/out.txt").read_text() == "val/b/0.png\n"
    assert orch("data", "check", job, "--set", "data.exclude=out.txt").exit_code == 0


ODD = """
name: odd
model: {name: resnet18, widths: [4, 8, 16], depths: [1, 1, 1], num_segments: 1}
data: {name: video_folders, root: odd, crop: 16, test_scale: 16, max_broken_share: 1.0}
method: {name: coquant}
optimizer: {lr: 0.05}
training: {epochs: 1, global_batch: 2}
"""


@pytest.mark.real
def test_check_names_each_broken_file_of_the_odd_ones(
    orch: Orch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_CACHE", str(tmp_path / "cache"))
    source = real_data() / "videos" / "odd"
    with (source / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for subset, names in (("train", [row["file"] for row in rows]), ("val", ["sample.3gp"])):
        Path("odd", subset, "a").mkdir(parents=True)
        for name in names:
            Path("odd", subset, "a", name).symlink_to(source / name)
    Path("odd.yaml").write_text(ODD)
    done = orch("data", "check", "odd.yaml", "--every-frame", "--json")
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    found = {Path(one["name"]).name: one for one in report["findings"]}
    unread = [row["file"] for row in rows if row["decord_0_6_0"].endswith(("to open", "reading"))]
    assert len(unread) == 14
    assert [name for name in unread if found[name]["kind"] != "broken"] == []
    assert {name for name, one in found.items() if one["kind"] == "broken"} == set(unread)
    assert report["samples"] == len(rows) + 1
