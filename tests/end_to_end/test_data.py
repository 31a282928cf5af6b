"""orch data on a cluster: the same findings as here, from files that all nodes see."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.raylets import Head

pytestmark = pytest.mark.ray

REPOSITORY = Path(__file__).parents[2]
JOB = """
name: clips
model: {name: resnet18, widths: [4, 8, 16], depths: [1, 1, 1], num_segments: 3}
data: {name: activitynet, root: ROOT, annotations: a.json, metric: top1, crop: 32, test_scale: 32,
       max_broken_share: 0.9}
method: {name: coquant}
optimizer: {lr: 0.05}
training: {epochs: 1, global_batch: 2}
"""
CRASHES = """
import ray
from orchestrator.errands.tasks import Tasks
from orchestrator.curate.pool import Lost
from tests.orchestrator.curate.test_pool import double
ray.init(logging_level="ERROR", log_to_driver=False)
done = dict(Tasks()(double, range(40), 8))
print([number for number, result in done.items() if isinstance(result, Lost)])
print(sorted(done) == list(range(40)), all(done[n] == 2 * n for n in range(40) if n != 13))
"""


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A job on five clips, of which one is missing and one is broken."""
    videos = sorted((REPOSITORY / "jobs" / "quickstart" / "videos").glob("*.mp4"))
    listed = {}
    (tmp_path / "clips" / "videos").mkdir(parents=True)
    for number, source in enumerate(videos[:5]):
        shutil.copyfile(source, tmp_path / "clips" / "videos" / f"v_{number}.mp4")
        subset = "training" if number < 3 else "validation"
        listed[str(number)] = {"subset": subset, "annotations": [{"label": "one"}]}
    (tmp_path / "clips" / "videos" / "v_1.mp4").unlink()
    (tmp_path / "clips" / "videos" / "v_4.mp4").write_bytes(b"no video")
    (tmp_path / "clips" / "a.json").write_text(json.dumps({"database": listed}))
    job = tmp_path / "clips.yaml"
    job.write_text(JOB.replace("ROOT", str(tmp_path / "clips")))
    return job


def test_a_cluster_finds_and_copies_what_this_machine_does(
    orch: Any, cluster: str, clips: Path, tmp_path: Path
) -> None:
    here, there = (
        orch("data", "check", clips, "--json", *where) for where in ((), ("--address", cluster))
    )
    assert (here.returncode, there.returncode) == (1, 1), there.stderr
    assert json.loads(there.stdout) == json.loads(here.stdout)
    assert json.loads(there.stdout)["counts"] == {
        "missing": 1, "broken": 1, "short": 0, "in order": 0,
    }  # fmt: skip
    how = ("data", "prepare", clips, "--format", "pack", "--short-side", "32", "--json")
    for folder, where in (("here", ()), ("there", ("--address", cluster))):
        done = orch(*how, "--output", tmp_path / folder, *where)
        assert done.returncode == 1, done.stderr
        assert json.loads(done.stdout)["counts"] == {"made": 3, "kept": 0, "failed": 2}
    assert files_in(tmp_path / "here") == files_in(tmp_path / "there")
    nowhere = orch("data", "check", clips, "--set", "data.root=/nowhere", "--address", cluster)
    assert nowhere.returncode == 2
    assert "/nowhere" in nowhere.stderr
    assert "Traceback" not in nowhere.stderr


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the content of each file, of the manifest without the times of the originals."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_ends_its_process_on_a_cluster_is_named_and_the_rest_is_done(head: Head) -> None:
    env = os.environ | {"RAY_ADDRESS": head.gcs, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", CRASHES]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()  # among which Ray tells of the lost worker
    assert {"[13]", "True True"} <= set(lines), done.stdout + done.stderr
