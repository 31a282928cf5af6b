"""Data on a cluster: `orch data` finds there what it finds here, and runs read from a bucket."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from benchmarks.overhead import digest
from orchestrator.store.run_folder import RunFolder
from tests import s3_server
from tests.end_to_end.test_jobs_on_real_data import sets
from tests.mlflow_server import MlflowServer
from tests.raylets import Head
from tests.unreliable import Unreliable, Weather, on_the_way_to

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


def test_a_run_from_a_bucket_over_a_bad_way_learns_what_one_from_the_disk_does(
    orch: Any, cluster: str, output: Path, mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    root = REPOSITORY / "jobs" / "quickstart"
    reduced = sets(
        data__limit_train=48, data__limit_val=16, training__epochs=2, training__global_batch=16,
        cluster__num_workers=1, output=output, tracking__uri=mlflow_server.url,
    )  # fmt: skip
    command = ("submit", root.with_suffix(".yaml"), "--address", cluster, "--follow", "--json")
    with (
        s3_server.serving(tmp_path) as server,
        on_the_way_to(server, Weather(0.2, seed=5)) as way,
    ):
        put(server, root)
        away = replace(orch, env=orch.env | s3_server.settings(way.url))
        bucket = sets(data__root=f"s3://{s3_server.BUCKET}/quickstart")
        from_disk, from_bucket = (
            json.loads(one(*command, *reduced, *where).stdout)
            for one, where in ((orch, ()), (away, bucket))
        )
        assert (from_disk["state"], from_bucket["state"]) == ("SUCCEEDED", "SUCCEEDED")
        one, other = (RunFolder(run["run_dir"]) for run in (from_disk, from_bucket))
        assert digest(one) == digest(other)
        fetched = fetches(way)
        assert len(set(fetched)) == 48 + 16
        faults = sum(count for mood, count in way.mood.counts.items() if mood != "well")
        assert faults > 10
        assert len(fetched) <= len(set(fetched)) + faults  # each is fetched once in two epochs


def put(server: str, root: Path) -> None:
    """Put what is in a folder into the bucket."""
    s3 = boto3.client("s3", endpoint_url=server, aws_access_key_id="a", aws_secret_access_key="b")
    for path in root.rglob("*"):
        if path.is_file():
            key = f"quickstart/{path.relative_to(root)}"
            s3.put_object(Bucket=s3_server.BUCKET, Key=key, Body=path.read_bytes())


def fetches(way: Unreliable) -> list[str]:
    """Return the videos that were asked for."""
    return [line for line in way.asked if line.startswith("GET") and ".mp4" in line]
