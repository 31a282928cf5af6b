"""orch data on files whose names are no text."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.orchestrator.cli.conftest import Orch
from tests.orchestrator.cli.test_data import ODD, images


def test_names_of_videos_need_not_be_text(
    orch: Orch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_CACHE", str(tmp_path / "cache"))
    Path("odd.yaml").write_text(ODD)
    numbered = (sys.executable, "-m", "tests.video.numbered", tmp_path, "b-frames.avi")
    subprocess.run(numbered, check=True)
    for name in ("train/a/caf\udce9.avi", "val/a/caf\udce9.avi", "val/a/broken\udce9.avi"):
        file = Path("odd", name)
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile("b-frames.avi", file)
    file.write_bytes(b"no video at all")
    done = orch("data", "check", "odd.yaml", "--json", "--output", "odd/out.txt")
    assert (done.exit_code, json.loads(done.stdout)["counts"]["broken"]) == (1, 1)
    assert Path("odd/out.txt").read_bytes() == b"val/a/broken\xe9.avi\n"
    rest = ("odd.yaml", "--set", "data.exclude=out.txt")
    train, val = json.loads(orch("data", "stats", *rest, "--json").stdout)
    assert (train["unusable"], val["unusable"], val["frames"]["most"]) == (0, 0, 120)
    made = orch("data", "prepare", *rest, "--format", "pack", "--output", "copies", "--json")
    assert json.loads(made.stdout)["counts"] == {"made": 2, "kept": 0, "failed": 0}
    assert Path("copies/val/a/caf\udce9.pack").exists()
    assert orch("data", "show", "odd.yaml", "--split", "val", "--output", "val.png").exit_code == 0


def test_a_table_spells_out_what_a_terminal_would_obey(orch: Orch, tmp_path: Path) -> None:
    job = str(images(tmp_path))
    for subset in ("train", "val"):
        (tmp_path / "images" / subset / "a").rename(tmp_path / "images" / subset / "a\x1b[2J\n猫")
    done = orch("data", "stats", job, "--classes")
    assert r"a\x1b[2J\n猫" in done.stdout
    assert orch("data", "show", job, "--count", "1", "--output", "a.png").stderr.startswith("Wri")


def test_check_says_for_what_a_job_is_refused(orch: Orch, tmp_path: Path) -> None:
    job = str(images(tmp_path))
    (tmp_path / "images/train/b").rename(tmp_path / "images/train/B")
    done = orch("data", "check", job, "--json")
    [problem] = json.loads(done.stdout)["problems"]
    assert "train lacks: b" in problem
    assert (done.exit_code, f"A job on these data is refused: {problem}" in done.stderr) == (
        1,
        True,
    )


@pytest.mark.parametrize("given", [("--gop", "8"), ("--crf", "3", "--frames", "3")])
def test_options_of_another_format_are_refused(
    orch: Orch, tmp_path: Path, given: tuple[str, ...]
) -> None:
    job = str(images(tmp_path))
    done = orch("data", "prepare", job, "--format", "shards", "--output", "copies", *given)
    named = ", ".join(word for word in given if word.startswith("--"))
    assert f"{named}: --format shards has no such option" in done.stderr
    assert (done.exit_code, (tmp_path / "copies").exists()) == (2, False)
