"""The figures of a search that was never made."""

import csv
import sys
from pathlib import Path

import pytest
from PIL import Image

from orchestrator.drawing import Drawing
from orchestrator.search.figures import draw, drawings_of
from orchestrator.search.figures.by_key import value_by_key
from orchestrator.search.figures.keys import pair_of_keys
from orchestrator.search.figures.progress import best_by_hours
from orchestrator.search.level import comparable
from orchestrator.search.records import Attempt, Began, Opened, Planned, Record, Reported
from orchestrator.search.standing import Standing
from orchestrator.store.disk import DiskFolder
from tests.orchestrator.search.searched import KEYS, searched


@pytest.fixture(scope="module")
def drawings() -> dict[str, Drawing]:
    return {drawing.name: drawing for drawing in drawings_of(searched(24, seeds=2))}


def test_there_is_a_figure_for_each_question(drawings: dict[str, Drawing]) -> None:
    assert {"lives", "best_by_hours", "importance"} <= drawings.keys()
    assert {f"value_by_{key}" for key in KEYS} <= drawings.keys()
    assert "points_by_method.lambda" in drawings
    assert sum("_and_" in name for name in drawings) == 3


def test_a_value_stands_over_its_setting_and_spans_its_seeds(drawings: dict[str, Drawing]) -> None:
    drawing = drawings["value_by_method.lambda"]
    axes = drawing.figure.axes[0]
    assert axes.get_xscale() == "log"
    rows = [dict(zip(drawing.heads, row, strict=True)) for row in drawing.rows]
    finished = [row for row in rows if row["state"] == "finished"]
    dots = next(one for one in axes.collections if one.get_label() == "finished")
    assert dots.get_offsets().tolist() == [  # type: ignore[union-attr]
        [row["method.lambda"], row["delta_b"]] for row in finished
    ]
    assert all(row["lowest_seed"] < row["delta_b"] < row["highest_seed"] for row in finished)


def test_what_did_not_finish_is_hollow(drawings: dict[str, Drawing]) -> None:
    dots = {
        one.get_label(): one for one in drawings["value_by_method.p1"].figure.axes[0].collections
    }
    assert len(dots["stopped early"].get_facecolor()) == 0
    assert len(dots["finished"].get_facecolor()) == 1


def test_points_are_drawn_only_where_they_disagree() -> None:
    records: list[Record] = _records_of_two_points(agree=True)
    assert not any("points_by" in one.name for one in drawings_of(Standing.of(records)))
    records = _records_of_two_points(agree=False)
    found = {one.name: one for one in drawings_of(Standing.of(records))}
    lines = found["points_by_p1"].figure.axes[0].lines
    assert [line.get_label() for line in lines if not str(line.get_label()).startswith("_")] == [
        "8bit", "2bit",
    ]  # fmt: skip


def test_every_picture_opens_and_has_its_data(tmp_path: Path) -> None:
    (tmp_path / "old.png").write_text("of an earlier drawing")
    draw(searched(8), DiskFolder(tmp_path))
    pictures = sorted(path.stem for path in tmp_path.glob("*.png"))
    assert pictures == sorted(path.stem for path in tmp_path.glob("*.csv"))
    assert "old" not in pictures
    for name in pictures:
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert min(picture.size) > 250
        rows = list(csv.reader((tmp_path / f"{name}.csv").read_text().splitlines()))
        assert len(rows) > 1
        assert {len(row) for row in rows} == {len(rows[0])}


@pytest.mark.parametrize(
    ("metric", "called"),
    [
        ("delta_b", "Delta_B"),
        ("mean", "mean of all points"),
        ("worst", "worst point"),
        ("2bit", "2bit"),
    ],
)
def test_titles_say_what_a_metric_is(metric: str, called: str) -> None:
    standing = searched(12, metric=metric)
    assert standing.opened is not None
    pairs = pair_of_keys(comparable(standing), standing.opened, ("method.lambda", "method.p1"))
    heat = next(iter(pairs)).figure.axes[0].get_title()
    assert heat.startswith(f"{called} (%), averaged over trials, after epoch ")
    best = best_by_hours(standing, standing.opened).figure.axes[0]
    assert best.get_title() == f"Best so far: {called}"
    [drawing] = value_by_key(standing, standing.opened, "method.p1")
    by_key = drawing.figure.axes[0]
    assert (by_key.get_title(), by_key.get_ylabel()) == (f"{called} by method.p1", f"{called} (%)")


def test_a_search_that_has_just_begun_has_no_figures(tmp_path: Path) -> None:
    opened = Opened(0.0, "s", "mean", "max", ("p1",), (), 4, 1, "none", "random", 9, 1)
    begun = [opened, Attempt(0.0, 1), Planned(0.0, "t001", {"p1": 0.5}, "prior")]
    draw(Standing.of(begun), DiskFolder(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_figures_leave_what_all_threads_share_alone() -> None:
    list(drawings_of(searched(8)))
    assert "matplotlib.pyplot" not in sys.modules


def _records_of_two_points(*, agree: bool) -> list[Record]:
    records: list[Record] = [
        Opened(0.0, "s", "mean", "max", ("p1",), (), 2, 1, "none", "random", 1, 1)
    ]
    for number in (1, 2):
        name, high = f"t00{number}", 90.0 + number
        low = 80.0 + (number if agree else -number)
        records += [
            Planned(0.0, name, {"p1": number / 10}, "near"),
            Began(0.0, name, "group", 1),
            Reported(1.0, name, 1, 10, {"8bit": high, "2bit": low}, None),
        ]
    return records
