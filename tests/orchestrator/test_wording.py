"""Events as sentences."""

import pytest

from orchestrator import wording

PROGRESS = {
    "event": "progress",
    "epoch": 2,
    "epochs": 12,
    "step": 5,
    "steps": 31,
    "samples_per_second": 45.67,
    "eta_seconds": 125,
    "loss": {"8bit": 1.25, "2bit": 1.5},
    "metric_name": "top1",
    "metric": {"8bit": 90.0, "2bit": 80.04},
}


def test_progress_is_one_line_with_points_in_their_order() -> None:
    assert wording.describe(PROGRESS) == [
        "epoch 3/12  step 5/31  45.7 samples/s  ETA 2m05s  loss 8bit 1.250, 2bit 1.500  "
        "top1 8bit 90.0, 2bit 80.0"
    ]


@pytest.mark.parametrize(
    ("command", "lines"),
    [(None, ["MLflow: http://x"]), ("mlflow ui", ["MLflow: mlflow ui", "MLflow: http://x"])],
)
def test_a_started_run_tells_how_to_open_its_record_and_where(
    command: str | None, lines: list[str]
) -> None:
    event = {"event": "started", "run": "r", "run_dir": "/runs/r", "mlflow_link": "http://x"}
    shown = wording.describe(event | {"mlflow_command": command})
    assert shown == ["Run r in /runs/r", *lines]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (float("inf"), "11574d01h"),
        (0.4, "0s"),
        (59.6, "1m00s"),
        (3599.9, "1h00m"),
        (7500, "2h05m"),
        (90000, "1d01h"),
    ],
)
def test_time_spans_read_as_people_say_them(seconds: float | None, text: str) -> None:
    assert wording.duration(seconds) == text
