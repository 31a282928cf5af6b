"""The pages that orch's links lead to, in a browser."""

from pathlib import Path

import pytest

from orchestrator.store.run_folder import RunFolder
from orchestrator.track import recorder
from orchestrator.track.run import TrackedRun, charts_of, comparison_of
from tests.browser import open_page
from tests.mlflow_server import MlflowServer
from tests.orchestrator.track.recorded import record

BITS = (8, 6, 4, 2)
NAMES = [f"top1/{bits}bit" for bits in BITS]
TROUBLE = ("Something went wrong", "INTERNAL_ERROR", "Can't load", "does not exist", "Error")


@pytest.fixture(scope="module")
def runs(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> list[TrackedRun]:
    """Two finished runs, recorded into sqlite and served, as the driver records them."""
    made = []
    for number, token in enumerate(("a1b2", "c3d4")):
        folder = RunFolder(tmp_path_factory.mktemp("run"))
        run = recorder.open_run(
            mlflow_server.database, "pages", f"digits-20260102-030405-{token}", folder
        )
        for epoch in (1, 2, 3):
            values = {f"top1/{bits}bit": 50.0 + bits + 5 * epoch + number for bits in BITS}
            losses = {f"train_loss/{bits}bit": 2.0 / epoch for bits in BITS}
            record(run, folder, 40 * epoch, epoch, values | {"delta_b": 99.0} | losses)
        recorder.set_description(run, f"[in one chart]({charts_of([run], NAMES)})")
        recorder.describe(run, {"lr": f"0.{number + 1}", "method": "coquant"}, {})
        recorder.close_run(run, folder, "FINISHED", "| a table |")
        made.append(TrackedRun(mlflow_server.url, run.experiment_id, run.run_id))
    return made


def sound(words: str) -> bool:
    return not any(trouble in words for trouble in TROUBLE)


def test_the_page_of_a_run_shows_its_name_status_results_and_description(
    runs: list[TrackedRun], tmp_path: Path
) -> None:
    page = open_page(runs[0].link, tmp_path)
    assert sound(page.words), page.words
    assert "a1b2 digits" in page.words
    assert "Finished" in page.words
    assert "in one chart" in page.words
    at = [page.words.index(f"{name} ") for name in (*NAMES, "delta_b", "train_loss/8bit")]
    assert at == sorted(at)
    assert "top1/8bit 73" in page.words


def test_one_chart_shows_all_bit_widths_of_a_run_over_its_optimizer_steps(
    runs: list[TrackedRun], tmp_path: Path
) -> None:
    page = open_page(runs[0].charts(NAMES), tmp_path)
    assert sound(page.words), page.words
    assert page.lines_drawn() == len(BITS)
    assert all(f"a1b2 digits ({name})" in page.words for name in NAMES)
    assert "73 (step=120) 63 (step=40)" in page.words


def test_one_chart_shows_all_bit_widths_of_two_runs(runs: list[TrackedRun], tmp_path: Path) -> None:
    page = open_page(f"{runs[0].uri}/{charts_of(runs, NAMES)}", tmp_path)
    assert sound(page.words), page.words
    assert page.lines_drawn() == 2 * len(BITS)
    assert "Comparing 2 Runs" in page.words


def test_the_comparison_of_two_runs_opens_on_the_headline_metric(
    runs: list[TrackedRun], tmp_path: Path
) -> None:
    page = open_page(f"{runs[0].uri}/{comparison_of(runs)}", tmp_path)
    assert sound(page.words), page.words
    assert "Comparing 2 Runs" in page.words
    assert "Metrics: top1/8bit" in page.words
    assert "a1b2 digits" in page.words
    assert "c3d4 digits" in page.words
