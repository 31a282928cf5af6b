import csv
import io
import re
import subprocess
import sys

from orchestrator.search.records import Ended, Opened, Planned, TrialState
from orchestrator.search.standing import Standing
from orchestrator.search.table import markdown, rows_as_csv
from tests.orchestrator.search.searched import searched

OPENED = Opened(
    0.0, "s", "mean", "max", ("a.lr", "b.lr", "c"), (), 4, 2, "asha", "prior", 9, 1
)  # fmt: skip


def ended(trial: str, state: TrialState, value: float | None, epoch: int, why: str = "") -> Ended:
    points = {} if value is None else {"8bit": value + 1, "2bit": value - 1}
    spread = None if value is None else 0.5
    return Ended(9.0, trial, state, value, spread, points, value, epoch, epoch * 10, why)


def small() -> Standing:
    settings = {"a.lr": 1 / 3, "b.lr": [1, 2], "c": "x|y"}
    records = [
        *(Planned(0.0, f"t00{number}", settings, "near") for number in (1, 2, 3)),
        Planned(0.0, "t004", {"a.lr": 2}, "prior"),
        ended("t001", TrialState.STOPPED_EARLY, 99.0, 1),
        ended("t002", TrialState.FAILED, None, 0, "Its loss, alas, is nan."),
        ended("t003", TrialState.FINISHED, 80.0, 9),
        ended("t004", TrialState.FINISHED, 81.25, 9),
    ]
    return Standing.of([OPENED, *records])


def test_markdown_has_finished_trials_first_then_the_counts_and_the_reasons() -> None:
    assert (
        markdown(small())
        == r"""
| trial | state | mean | spread | epoch | a.lr | b.lr | c | 8bit | 2bit | delta_b |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| t004 | finished | 81.25 | 0.50 | 9/9 | 2 | - | - | 82.25 | 80.25 | 81.25 |
| t003 | finished | 80.00 | 0.50 | 9/9 | 0.3333 | [1, 2] | x\|y | 81.00 | 79.00 | 80.00 |
| t001 | stopped early | 99.00 | 0.50 | 1/9 | 0.3333 | [1, 2] | x\|y | 100.00 | 98.00 | 99.00 |
| t002 | failed | - | - | 0/9 | 0.3333 | [1, 2] | x\|y | - | - | - |

4 of 4 trials: 2 finished, 1 stopped early, 1 failed; 0.00 worker-hours.

- t002 failed: Its loss, alas, is nan.
""".lstrip()
    )


def test_csv_has_every_trial_whole_in_the_order_of_its_planning() -> None:
    rows = list(csv.DictReader(io.StringIO(rows_as_csv(small()))))
    assert [row["trial"] for row in rows] == ["t001", "t002", "t003", "t004"]
    assert rows[2] == {
        "trial": "t003", "state": "finished", "value": "80.0000", "spread": "0.5000",
        "epoch": "9", "step": "90", "worker_hours": "0.0000",
        "a.lr": "0.3333333333333333", "b.lr": "[1, 2]", "c": "x|y",
        "8bit": "81.0000", "2bit": "79.0000", "delta_b": "80.0000",
        "origin": "near", "reason": "", "runs": "t003s1 t003s2", "seed_1": "", "seed_2": "",
    }  # fmt: skip
    assert (rows[3]["a.lr"], rows[3]["b.lr"]) == ("2", "")
    assert rows[1]["reason"] == "Its loss, alas, is nan."


def test_values_of_seeds_and_hours_are_those_of_the_runs() -> None:
    rows = list(csv.DictReader(io.StringIO(rows_as_csv(searched(6, seeds=2)))))
    row = next(row for row in rows if row["state"] == "finished")
    seeds = [float(row["seed_1"]), float(row["seed_2"])]
    assert abs(sum(seeds) / 2 - float(row["value"])) < 1e-3
    assert abs(max(seeds) - min(seeds) - float(row["spread"])) < 1e-3
    assert row["worker_hours"] == f"{2 * 2 * 9 / 60:.4f}"


def test_only_the_best_twenty_are_shown() -> None:
    text = markdown(searched(100))
    assert len(re.findall(r"^\| t\d+", text, re.MULTILINE)) == 20
    assert "\n80 more are in trials.csv. 100 of 100 trials: " in text


def test_the_point_that_is_the_metric_stands_in_the_table_once() -> None:
    head = markdown(searched(3, metric="2bit")).splitlines()[0]
    assert head.count("2bit") == 1


def test_a_client_can_print_the_table_without_torch() -> None:
    script = "import sys, orchestrator.search.table; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
