"""Names of runs in a job, with a registry of one run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.job.schema import Job
from orchestrator.runs import references, registry
from orchestrator.runs.registry import Attempt, Record
from tests.orchestrator import journals


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ORCH_HOME", str(tmp_path / "home"))
    folder = tmp_path / "runs" / "pictures_float-1"
    attempts = (Attempt("pictures_float-1", 1.0),)
    registry.save(
        Record("pictures_float-1", "pictures_float", {}, "x", "x", True, str(folder), attempts)
    )
    return folder


@pytest.mark.parametrize("name", ["pictures_float", "pictures_float-1"])
def test_the_name_of_a_run_as_float_model_means_its_folder(
    tiny_job: Callable[..., Job], run_dir: Path, name: str
) -> None:
    job = tiny_job("start.from=float", f"start.weights={name}")
    assert references.resolved(job).start.weights == str(run_dir)


def test_the_name_of_a_trial_as_float_model_means_its_folder(
    tiny_job: Callable[..., Job], make_record: Callable[..., Record], tmp_path: Path
) -> None:
    registry.save(make_record("digits-1", job={"search": journals.SEARCH}))
    folder = tmp_path / "runs" / "digits-1" / "trials" / "digits-1.t007"
    for name in ("digits.t007", "digits-1.t007"):
        job = tiny_job("start.from=float", f"start.weights={name}")
        assert references.resolved(job).start.weights == str(folder)


def test_a_file_of_that_name_and_an_unknown_name_stay_as_they_are(
    tiny_job: Callable[..., Job], run_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "pictures_float").touch()
    for name in (tmp_path / "pictures_float", tmp_path / "nothing", "/unmounted/pictures_float"):
        job = tiny_job("start.from=float", f"start.weights={name}")
        assert references.resolved(job).start.weights == str(name)


def test_only_points_of_the_last_phase_need_a_run_to_compare_with(
    tiny_job: Callable[..., Job],
) -> None:
    phases = "phases=[{quantizer: {bit_widths: [8, 4]}}, {quantizer: {bit_widths: [6, 4]}}]"
    runs = {"6bit": "6a" * 16, "4bit": "4a" * 16}
    job = tiny_job(phases, f"reference.runs={{6: {runs['6bit']}, 4: {runs['4bit']}, 8: gone}}")
    resolved = references.resolved(job).reference
    assert resolved is not None
    assert resolved.runs == runs
    tiny_job(phases, "reference.runs={6: anything, 4: anything}")


@pytest.mark.parametrize("method", ["direct", "coquant"])
def test_one_run_for_all_points_of_delta_b_is_refused_with_what_to_do(
    tiny_job: Callable[..., Job], run_dir: Path, method: str
) -> None:
    record = registry.load_all()[0]
    alone = tiny_job("method={name: individual}", "quantizer.bit_widths=[8]").as_dict()
    registry.save(replace(record, job=alone))
    own = ("training.epochs=0", "start={from: checkpoint, weights: x}") * (method == "direct")
    options = (f"method={{name: {method}}}", *own)
    with pytest.raises(UsageError, match=r"^reference\.runs: \S+-1 is one run, and ") as one:
        references.resolved(tiny_job(*options, "reference.runs=pictures_float"))
    assert "pictures_float_8bit, pictures_float_6bit" in str(one.value)
    assert "--each-bit-width` trains these" in str(one.value)
    runs = "reference.runs={8: pictures_float, 6: pictures_float}"
    with pytest.raises(UsageError) as listed:
        references.resolved(tiny_job(*options, "quantizer.bit_widths=[8, 6]", runs))
    assert "6bit: pictures_float-1 was trained at 8bit, not at 6bit" in str(listed.value)


@pytest.mark.parametrize(("trained", "fits"), [("mix", True), ("other", False)])
def test_an_individual_run_at_an_assignment_is_compared_with(
    tiny_job: Callable[..., Job], run_dir: Path, trained: str, fits: bool
) -> None:
    def at(name: str) -> str:
        return f"quantizer={{bit_widths: [], assignment: {{{name}: {{default: 4}}}}}}"

    record = registry.load_all()[0]
    alone = tiny_job("method={name: individual}", at(trained)).as_dict()
    registry.save(replace(record, job=alone))
    job = tiny_job("method={name: individual}", at("mix"), "reference.runs={mix: pictures_float}")
    with pytest.raises(UsageError) as caught:
        references.resolved(job)
    assert ("was trained at" in str(caught.value)) != fits


def test_a_damaged_trial_or_record_is_no_reference(
    tiny_job: Callable[..., Job], make_record: Callable[..., Record]
) -> None:
    registry.save(make_record("digits-1", job={"search": journals.SEARCH}))
    registry.save(make_record("plain-1", job={"name": "plain"}))
    file = registry.find("digits.t001").folder.job
    file.folder.make()
    file.write("name: digits\nmodel: {name: tiny}\n")
    for name, damaged in (("digits.t001", file), ("plain", "The record of plain-1")):
        points = ("method={name: individual}", "quantizer.bit_widths=[8]")
        job = tiny_job(*points, f"reference.runs={{8: {name}}}")
        with pytest.raises(UsageError, match=f"{damaged} is damaged: .* a run, with "):
            references.resolved(job)


def test_the_name_of_a_run_as_teacher_means_its_folder_in_the_job_and_in_its_phases(
    tiny_job: Callable[..., Job], run_dir: Path
) -> None:
    taught = "{name: bitmixer, stage: 2, teacher: float, teacher_weights: pictures_float}"
    again = "phases=[{}, {method: {teacher_weights: pictures_float}}]"
    job = references.resolved(tiny_job(f"method={taught}", again))
    assert [phase.method.teacher_weights for phase in job.phase_jobs()] == [str(run_dir)] * 2
    assert references.resolved(tiny_job()).method == tiny_job().method
