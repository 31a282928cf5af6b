from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from orchestrator.errors import JobFailed, Unreachable, UsageError
from orchestrator.job.schema import Job
from orchestrator.prepare import preflight
from orchestrator.prepare.build import build_network
from orchestrator.store.run_folder import RunFolder
from orchestrator.track.run import TrackedRun, remember


def test_a_job_with_all_it_needs_passes_and_leaves_nothing_behind(
    tiny_job: Callable[..., Job],
) -> None:
    job = tiny_job()
    preflight.check(job)
    assert not Path(job.output).exists()


def test_everything_that_is_missing_is_named_at_once(
    tiny_job: Callable[..., Job], tmp_path: Path
) -> None:
    occupied = tmp_path / "file"
    occupied.touch()
    job = tiny_job("data.root=/nowhere/pictures", "start.from=float", f"output={occupied}/runs")
    with pytest.raises(UsageError) as caught:
        preflight.check(job)
    message = str(caught.value)
    assert "/nowhere/pictures" in message
    assert "--set start.from=scratch" in message
    assert f"{occupied} is a file, not a folder" in message


def test_a_run_that_goes_on_can_have_no_other_folder_than_its_own(
    tiny_job: Callable[..., Job], tmp_path: Path, full_disk: Callable[[object, str], None]
) -> None:
    occupied, folder = tmp_path / "file", RunFolder(tmp_path / "runs" / "tiny-1")
    occupied.touch()
    preflight.check(tiny_job(f"output={occupied}/runs"), folder)
    why = f"^output: {occupied} is a file, not a folder; put that right, and `orch resume` con"
    with pytest.raises(JobFailed, match=why):
        preflight.check(tiny_job(), RunFolder(occupied / "tiny-1"))
    full_disk(Path, "write_bytes")
    why = r"^output: .*runs{} cannot be written \(No space left on device\); "
    with pytest.raises(UsageError, match=f"{why.format('')}name another with --set output=DIR"):
        preflight.check(tiny_job())
    why = f"{why.format('/tiny-1')}free some space, and `orch resume` continues"
    with pytest.raises(JobFailed, match=why):
        preflight.check(tiny_job(), folder)
    with pytest.raises(UsageError, match=r"^data: (?s:.*)free some space"):
        preflight.check(tiny_job("data.root=/nowhere"), folder)


def test_a_first_attempt_can_have_another_folder_until_its_settings_are_in_its_own(
    tiny_job: Callable[..., Job], tmp_path: Path, full_disk: Callable[[object, str], None]
) -> None:
    folder = RunFolder(tmp_path / "runs" / "tiny-1")
    (tmp_path / "runs").symlink_to(tmp_path / "unmounted")
    why = r"^output: .*runs is a link to .*unmounted, which is not there; name another with --set"
    with pytest.raises(UsageError, match=why):
        preflight.check(tiny_job(), folder, first=True)
    (tmp_path / "unmounted").mkdir()
    preflight.check(tiny_job(), folder, first=True)
    folder.make()
    full_disk(Path, "write_bytes")
    with pytest.raises(UsageError, match=r"No space left on device\); name another with --set"):
        preflight.check(tiny_job(), folder, first=True)
    Path(str(folder.job)).touch()
    with pytest.raises(JobFailed, match="free some space, and `orch resume` continues"):
        preflight.check(tiny_job(), folder, first=True)


def test_float_weights_that_are_not_there_or_no_weights_are_refused(
    tiny_job: Callable[..., Job], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"there is no file and no run at .*float\.pt"):
        preflight.check(tiny_job("start.from=float", f"start.weights={tmp_path / 'float.pt'}"))
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(UsageError, match=r"start\.weights: .*text\.pt"):
        preflight.check(tiny_job("start.from=float", f"start.weights={tmp_path / 'text.pt'}"))


def test_weights_of_a_run_that_will_have_ended_are_not_looked_for(
    tiny_job: Callable[..., Job], tmp_path: Path
) -> None:
    start, teacher = str(tmp_path / "start-1"), str(tmp_path / "teacher-1")
    taught = f"name: bitmixer, stage: 2, teacher: float, teacher_weights: {teacher}"
    own = f"start={{from: checkpoint, weights: {start}}}"
    job = tiny_job(own, f"method={{{taught}}}")
    for awaited in ([start], [teacher], []):
        with pytest.raises(UsageError) as caught:
            preflight.check(job, awaited=awaited)
        for weights in (start, teacher):
            assert (weights in str(caught.value)) == (weights not in awaited)
    preflight.check(job, awaited=[start, teacher])


def test_a_teacher_whose_weights_are_not_there_or_not_its_own_is_refused(
    tiny_job: Callable[..., Job], tmp_path: Path
) -> None:
    def taught_by(weights: str) -> Job:
        method = f"name: bitmixer, stage: 2, teacher: float, teacher_weights: {weights}"
        return tiny_job(f"method={{{method}}}")

    with pytest.raises(UsageError, match=r"^method\.teacher_weights: .* at .*float\.pt"):
        preflight.check(taught_by("float.pt"))
    with pytest.raises(UsageError, match=r"^method\.teacher_weights: .* called anyone\. Name"):
        preflight.check(taught_by("anyone"))
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(UsageError, match=r"^method\.teacher_weights: .*text\.pt"):
        preflight.check(taught_by(str(tmp_path / "text.pt")))


def test_weights_of_another_network_are_refused_with_the_differences(
    tiny_job: Callable[..., Job], tmp_path: Path
) -> None:
    wide = tiny_job("model.widths=[6, 8]")
    network = build_network(wide, 3)
    float_model = {
        name.replace(".8bit.", "."): value
        for name, value in network.state_dict().items()
        if ".clip_levels." not in name and not any(f".{bits}bit." in name for bits in (6, 4, 2))
    }
    torch.save(float_model, tmp_path / "wide.pt")
    preflight.check(
        tiny_job("model.widths=[6, 8]", "start.from=float", f"start.weights={tmp_path}/wide.pt")
    )
    with pytest.raises(UsageError, match=r"conv1\.weight"):
        preflight.check(tiny_job("start.from=float", f"start.weights={tmp_path / 'wide.pt'}"))


@pytest.mark.parametrize("checkpoint", ["checkpoint_p01_e0001_s000000", "best-epoch-0001"])
def test_a_run_with_a_checkpoint_needs_its_initial_weights_no_more(
    tiny_job: Callable[..., Job], tmp_path: Path, checkpoint: str
) -> None:
    (tmp_path / "text.pt").write_text("no weights")
    folder = RunFolder(tmp_path / "run")
    folder.make()
    for weights in ("gone.pt", "text.pt"):
        job = tiny_job("start.from=float", f"start.weights={tmp_path / weights}")
        with pytest.raises(UsageError, match=r"start\.weights: .*"):
            preflight.check(job, folder)
    (Path(folder.place) / checkpoint).mkdir()
    for weights in ("gone.pt", "text.pt"):
        job = tiny_job("start.from=float", f"start.weights={tmp_path / weights}")
        preflight.check(job, folder)


def test_a_bucket_is_written_to_before_anything_starts(
    tiny_job: Callable[..., Job], tmp_path: Path, s3: str
) -> None:
    tracking = f"tracking.uri=sqlite:///{tmp_path}/mlflow.db"
    preflight.check(tiny_job(f"output={s3}", tracking))
    assert not RunFolder(s3).is_there()
    with pytest.raises(UsageError, match=r"^output: s3://nobodys/runs: there is no bucket nobodys"):
        preflight.check(tiny_job("output=s3://nobodys/runs", tracking))
    with pytest.raises(UsageError, match=r"^tracking\.uri: MLflow keeps no records in a bucket"):
        preflight.check(tiny_job(f"output={s3}"))


def test_a_tracking_server_that_is_away_is_no_mistake_of_the_job(
    tiny_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        preflight.check(tiny_job("tracking.uri=http://127.0.0.1:9"))


def test_a_run_that_goes_on_asks_the_server_that_has_its_record(
    tiny_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    folder = RunFolder(tmp_path)
    remember(folder, TrackedRun("http://127.0.0.1:9", "1", "0" * 32), "KILLED")
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        preflight.check(tiny_job(), folder)
    elsewhere = tiny_job(f"tracking.uri=sqlite:///{tmp_path}/mlflow.db")
    assert preflight.check(elsewhere, folder) is None


def test_what_delta_b_is_compared_with_is_found_once(tiny_job: Callable[..., Job]) -> None:
    found = preflight.check(tiny_job("reference.published=cifar10_resnet18"))
    assert found is not None
    assert found.source.startswith("published: ")


def test_a_batch_that_the_data_set_cannot_fill_is_refused(tiny_job: Callable[..., Job]) -> None:
    with pytest.raises(UsageError, match="24 samples, fewer than one global batch of 32"):
        preflight.check(tiny_job("training.global_batch=32"))


def test_a_pass_of_one_sample_that_shrinks_to_one_pixel_is_refused_before_anything_starts(
    tiny_job: Callable[..., Job],
) -> None:
    one = ("cluster.max_batch_per_worker=1", "model.widths=[4,4,4,4]", "model.depths=[1,1,1,1]")
    preflight.check(tiny_job(*one))
    with pytest.raises(UsageError, match=r"cluster\.max_batch_per_worker, data\.crop"):
        preflight.check(tiny_job(*one, "data.crop=8", "data.resize=8"))


def test_what_the_initial_weights_lack_is_a_warning(
    tiny_job: Callable[..., Job], tmp_path: Path
) -> None:
    float_model = build_network(tiny_job("method={name: float}"), 3).state_dict()
    del float_model["fc.weight"], float_model["fc.bias"]
    torch.save(float_model, tmp_path / "headless.pt")
    warnings: list[str] = []
    job = tiny_job("start.from=float", f"start.weights={tmp_path / 'headless.pt'}")
    preflight.check(job, warn=warnings.append)
    assert warnings == ["Not taken from the float model: fc.weight, fc.bias. Everything else is."]


def test_each_corner_of_a_search_is_checked_and_named(
    tiny_job: Callable[..., Job], tmp_path: Path
) -> None:
    search = ["search.metric=mean", "search.trials=4"]
    there = tiny_job().data.root
    roots = f"search.space.data.root={{choice: [{there}, {tmp_path / 'nowhere'}]}}"
    widths = "search.space.model.widths={choice: [[4, 8], [6, 8]]}"
    preflight.check(tiny_job(*search, widths))
    with pytest.raises(UsageError) as caught:
        preflight.check(tiny_job(*search, roots, widths))
    assert f"corner root={tmp_path / 'nowhere'}: data: " in str(caught.value)
    assert "widths" not in str(caught.value)


def test_what_all_corners_lack_is_said_once(tiny_job: Callable[..., Job]) -> None:
    with pytest.raises(UsageError) as caught:
        preflight.check(
            tiny_job(
                *("search.metric=mean", "search.trials=4", "start.from=float"),
                "search.space.model.widths={choice: [[4, 8], [6, 8]]}",
            )
        )
    assert str(caught.value).startswith("start.weights: start.from is 'float' and no file is named")
    assert str(caught.value).count("start.from is") == 1
