"""Annotation files as people have them: what can be read is read, and the rest is named."""

import json
from pathlib import Path

import pytest

from video.annotations import Annotated, Row, read_activitynet, read_kinetics

HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "annotations"


@pytest.mark.parametrize(
    "content",
    [
        HEADER + "yoga,-aa,10,20,train,0\n",
        "\ufeff" + HEADER + "yoga,-aa,10.0,20.0,train,0\n",
        "split,time_end,time_start,youtube_id,label\ntrain,20,10,-aa,yoga\n",
        "label, youtube_id, time_start, time_end, split\nyoga , -aa, 10, 20, train\n",
        "Label , YouTube_ID,time_start,Time_End,SPLIT\nyoga,-aa,10,20,train\n",
        HEADER.replace("\n", "\r\n") + "yoga,-aa,10,20,train,0\r\n",
    ],
)
def test_a_row_is_read_however_it_was_written(file: Path, content: str) -> None:
    file.write_bytes(content.encode())
    rows, left_out = read_kinetics(file)
    assert rows == [Row("yoga", "-aa", 10, 20, "train")]
    assert left_out.remarks() == []


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("yoga,-aa,10", "no time_end, split"),
        ("yoga,-aa,ten,20,train,0", "time_start is no number"),
        (",-aa,10,20,train,0", "no label"),
        ("yoga,-aa,20,10,train,0", "time_end is before time_start"),
        ("yoga,-aa,nan,20,train,0", "time_start is no number"),
        ("yoga,-aa,1,inf,train,0", "time_end is no number"),
        ("yoga,-aa,-1,20,train,0", "time_start is negative"),
        (f"yoga,-aa,1,{5000 * '9'},train,0", "time_end is no number"),
        ("yoga,,10,20,train,0", "no youtube_id"),
        (
            '"yoga,-aa,10,20,train,0',
            "no youtube_id, time_start, time_end, split: a quote is not closed",
        ),
        (f'"{200_000 * "x"}"', "no youtube_id, time_start, time_end, split"),
    ],
)
def test_a_row_that_cannot_be_used_costs_no_other(file: Path, row: str, why: str) -> None:
    file.write_text(f"{HEADER}yoga,a,1,2,train,0\n{row}\nyoga,b,1,2,train,0\n")
    rows, left_out = read_kinetics(file)
    assert [one.youtube_id for one in rows] == ["a", "b"]
    [remark] = left_out.remarks()
    assert remark.startswith(f"{file}, line 3: expected label,youtube_id,time_start,time_end,split")
    assert remark.endswith(f"({why}); left out.")
    assert len(remark) < 500


def test_bytes_that_are_no_text_cost_their_row(file: Path) -> None:
    file.write_bytes(HEADER.encode() + b"yo\xffga,a,1,2,train,0\nyoga,b,1,2,train,0\n")
    rows, left_out = read_kinetics(file)
    assert [one.youtube_id for one in rows] == ["b"]
    assert "line 2" in left_out.remarks()[0]


def test_many_that_are_left_out_are_counted(file: Path) -> None:
    file.write_text(HEADER + "yoga,a,1,2,train,0\n" + "cut\n" * 50)
    *named, last = read_kinetics(file)[1].remarks()
    assert len(named) == 3
    assert last == f"{file}: 47 more entries are left out."


def test_a_file_of_which_nothing_can_be_used_is_an_error(file: Path) -> None:
    file.write_text(HEADER + "cut\n")
    with pytest.raises(ValueError, match="line 2: expected label"):
        read_kinetics(file)


def test_a_csv_with_a_column_twice_is_an_error(file: Path) -> None:
    file.write_text("label,youtube_id,time_start,time_end,split,Label\nyoga,a,1,2,train,run\n")
    with pytest.raises(ValueError, match="annotations has twice the column label; "):
        read_kinetics(file)


def test_a_number_of_any_length_ends_no_reading(file: Path) -> None:
    entry = {"subset": "training", "duration": 0, "annotations": [{"label": "a"}]}
    content = json.dumps({"database": {"x": entry}})
    file.write_text(content.replace(": 0", f": {5000 * '9'}"))
    assert read_activitynet(file)[0] == {"x": Annotated("training", ["a"])}


def test_json_of_any_depth_is_read_or_named(file: Path) -> None:
    file.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="annotations cannot be read as JSON: maximum recursion"):
        read_activitynet(file)


def test_videos_of_activitynet_are_read_whatever_others_lack(file: Path) -> None:
    skiing, nothing = {"label": "Skiing", "segment": [0, 1]}, {"label": None}
    database = {
        "one": {"subset": "training", "annotations": [skiing, {"label": "Skiing "}, nothing]},
        "tested": {"subset": "testing"},
        "null": {"subset": "testing", "annotations": None},
        "odd": {"subset": "training", "annotations": "Skiing"},
        "bare": {"subset": "validation"},
        "lost": {"annotations": [skiing]},
        "none": None,
    }
    file.write_text("\ufeff" + json.dumps({"database": database}), "utf-8")
    videos, left_out = read_activitynet(file)
    assert videos == {
        "one": Annotated("training", ["Skiing"]),
        "tested": Annotated("testing", []),
        "null": Annotated("testing", []),
        "odd": Annotated("training", []),
        "bare": Annotated("validation", []),
    }
    assert left_out.problems == [
        "video one: expected an annotation with a \"label\", got {'label': None}",
        "video odd: expected a list of annotations, got 'Skiing'",
        "video bare: expected annotations, got None",
        'video lost: expected an entry with a "subset", got '
        "{'annotations': [{'label': 'Skiing', 'segment': [0, 1]}]}",
        'video none: expected an entry with a "subset", got None',
    ]
