"""The papers' job files on real data, reduced by --set alone, on a real cluster."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.overhead import digest
from orchestrator.store.run_folder import RunFolder
from orchestrator.track import delivery, recorder
from orchestrator.track.run import remembered_run
from orchestrator.track.server import mlflow_client
from orchestrator.train.worker import Run
from tests.orchestrator.train.rank_programs import run_ranks, train_whole_run
from tests.real_data import activitynet_from_actions, cifar10_official

pytestmark = [pytest.mark.ray, pytest.mark.real]

JOBS = Path(__file__).parents[2] / "jobs"
BITS = (8, 6, 4, 2)


def sets(**values: Any) -> list[str]:
    """Return `--set a.b=c` for each a__b=c."""
    return [
        word
        for key, value in values.items()
        for word in ("--set", f"{key.replace('__', '.')}={value}")
    ]


def submit(orch: Any, cluster: str, job: str | Path, *options: str | Path) -> dict[str, Any]:
    done = orch("submit", JOBS / job, "--address", cluster, "--follow", "--json", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


def history(folder: RunFolder, key: str) -> list[float]:
    """Return a metric of a run over the epochs, from MLflow."""
    tracked = remembered_run(folder)
    assert tracked is not None
    with mlflow_client(tracked.uri) as client:
        return [row.value for row in client.get_metric_history(tracked.run_id, key)]


def test_activitynet_r50_reports_map_at_every_bit_width(
    orch: Any, cluster: str, output: Path, tmp_path: Path
) -> None:
    root = tmp_path / "activitynet"
    activitynet_from_actions(root)
    status = submit(
        orch,
        cluster,
        "activitynet_r50.yaml",
        *sets(
            data__root=root,
            data__crop=64,
            data__test_scale=72,
            data__limit_train=24,
            start__from="scratch",
            model__widths="[8,16,32,64]",
            model__depths="[1,1,1,1]",
            model__num_segments=4,
            training__epochs=1,
            training__global_batch=12,
            cluster__num_workers=1,
            cluster__max_batch_per_worker=6,
            output=output,
        ),
    )
    for bits in BITS:
        [value] = history(RunFolder(Path(status["run_dir"])), f"map/{bits}bit")
        assert 0 < value <= 100
    assert status["result"]["metric_name"] == "map"
    assert "CoQuant Table 6" in status["result"]["delta_b_note"]


def test_activitynet_r50_without_data_fails_at_once_and_says_how_to_get_it(
    orch: Any, tmp_path: Path
) -> None:
    missing = tmp_path / "nothing"
    done = orch(
        "submit",
        JOBS / "activitynet_r50.yaml",
        "--detach",
        *sets(data__root=missing, start__from="scratch", output=tmp_path / "runs"),
    )
    assert done.returncode == 2
    assert str(missing) in done.stderr
    assert "activity-net.org" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.fixture(scope="module")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cifar")
    cifar10_official(folder)
    return folder


def cifar_options(cifar: Path, output: Path) -> list[str]:
    return sets(
        data__root=cifar,
        data__limit_train=384,
        data__limit_val=100,
        model__widths="[8,16,32,64]",
        model__depths="[1,1,1,1]",
        training__global_batch=64,
        optimizer__lr=0.01,
        checkpoint__every_steps=2,
        cluster__num_workers=2,
        output=output,
    )


def with_a_row_that_starts_from_it(folder: Path) -> list[Path]:
    """Write a short CIFAR-10 job, and one that evaluates the weights of its run as they are."""
    files = {
        "direct": "name: direct\nmethod: {name: direct}\ntraining: {epochs: 0}\n"
        "start: {from: checkpoint, weights: short}\n",
        "short": "name: short\nmethod: {p1: 0.9, lambda: 0.001}\ntraining: {epochs: 3}\n",
    }
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(f"extends: {JOBS}/base/cifar10_r18.yaml\n{text}")
    return [folder / f"{name}.yaml" for name in files]


def test_cifar10_r18_learns_and_ends_with_the_weights_of_two_processes_without_ray(
    orch: Any, cluster: str, cifar: Path, output: Path, tmp_path: Path
) -> None:
    files = with_a_row_that_starts_from_it(tmp_path)
    both = submit(orch, cluster, *files, *cifar_options(cifar, output))["runs"]
    status, evaluated = both
    assert [run["name"] for run in both] == ["short", "direct"]
    as_they_are = [(row["metric"], row["loss"]) for row in status["result"]["rows"]]
    assert [(row["metric"], row["loss"]) for row in evaluated["result"]["rows"]] == as_they_are
    folder = RunFolder(output / status["run"])
    undisturbed = trained_without_ray(folder, output, tmp_path)
    assert digest(folder) == digest(undisturbed)
    for bits in BITS:
        losses = history(folder, f"train_loss/{bits}bit")
        assert len(losses) == 3
        assert losses[-1] < losses[0]
        assert history(undisturbed, f"train_loss/{bits}bit") == losses


def trained_without_ray(folder: RunFolder, output: Path, tmp_path: Path) -> RunFolder:
    """Train the job of a run again, in two processes that nobody disturbs; return the folder."""
    again = RunFolder(tmp_path / "again")
    again.make()
    again.job.write(folder.job.read())
    tracked = recorder.open_run(f"sqlite:///{output / 'mlflow.db'}", "again", "again", again)
    run_ranks(2, tmp_path / "ranks", partial(train_whole_run, Run(again)))
    delivery.deliver_all(tracked, again, pytest.fail)
    return again
