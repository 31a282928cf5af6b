import json
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

from orchestrator.events import Started
from tests.orchestrator.cli.conftest import Orch, Submitted
from tests.orchestrator.statements import EVALUATED, FINISHED, RECORD, STARTED

SERVER = "http://mlflow.example:5000"


def recorded(number: int, uri: str = SERVER) -> Started:
    record = replace(RECORD, uri=uri, run_id=f"run{number}", experiment_id="7", command=None)
    return replace(STARTED, mlflow=record)


def test_runs_stand_side_by_side_with_all_their_bit_widths(
    orch: Orch, submitted: Submitted
) -> None:
    half = replace(EVALUATED, metric={"8bit": 91.0, "2bit": 55.5})
    first = submitted(recorded(1), half, name="first")
    submitted(recorded(2), replace(FINISHED, epoch=1, delta_b=99.5), name="second")
    done = orch("compare", "first", "second")
    assert done.exit_code == 0, done.output
    head, _, *rows = done.stdout.splitlines()
    assert head.split() == ["RUN", "STATE", "EPOCH", "METRIC", "8bit", "2bit", "DELTA_B"]
    assert rows[0].split() == [first, "RUNNING", "1", "top1", "91.00", "55.50", "-"]
    assert rows[1].split()[2:] == ["2", "top1", "91.00", "-", "99.50"]


def test_points_of_all_runs_stand_in_one_row_from_high_to_low(
    orch: Orch, submitted: Submitted
) -> None:
    first = replace(EVALUATED, metric={"8bit": 9.0, "2bit": 3.0, "w1a4": 1.0, "mixed": 2.0})
    submitted(recorded(1), first, name="first")
    second = replace(EVALUATED, metric={"float": 9.5, "4bit": 8.0})
    submitted(recorded(2), second, name="second")
    head = orch("compare", "first", "second").stdout.splitlines()[0]
    assert head.split()[4:-1] == ["float", "8bit", "4bit", "2bit", "w1a4", "mixed"]


def test_a_run_in_a_phase_says_in_which_and_one_at_its_end_counts_all_epochs(
    orch: Orch, submitted: Submitted
) -> None:
    submitted(recorded(1), replace(EVALUATED, epoch=3, phase=1, phases=2), name="first")
    submitted(recorded(2), replace(FINISHED, epoch=8), name="second")
    first, second = orch("compare", "first", "second").stdout.splitlines()[2:4]
    assert "  4 (phase 2)  top1" in first
    assert second.split()[2] == "9"


def test_one_link_shows_the_curves_of_all_runs_and_one_compares_them(
    orch: Orch, submitted: Submitted
) -> None:
    for number, name in enumerate(("first", "second"), 1):
        submitted(
            recorded(number), replace(EVALUATED, metric={"8bit": 1.0, "4bit": 2.0}), name=name
        )
    pages = json.loads(orch("compare", "first", "second", "--json").stdout)["mlflow"]
    page, _, query = urlsplit(pages["charts"]).fragment.partition("?")
    asked = parse_qs(query)
    assert (page, json.loads(asked["runs"][0])) == ("/metric", ["run1", "run2"])
    assert json.loads(asked["plot_metric_keys"][0]) == ["top1/8bit", "top1/4bit"]
    assert pages["comparison"].startswith(f"{SERVER}/#/compare-runs?runs=")
    assert "server" not in pages


def test_records_in_two_places_are_not_linked_together(orch: Orch, submitted: Submitted) -> None:
    submitted(recorded(1), EVALUATED, name="first")
    submitted(recorded(2, "sqlite:////elsewhere.db"), EVALUATED, name="second")
    done = orch("compare", "first", "second")
    assert done.exit_code == 0, done.output
    assert "MLflow" not in done.stdout


def test_one_run_is_nothing_to_compare(orch: Orch, submitted: Submitted) -> None:
    submitted(recorded(1), EVALUATED, name="first")
    done = orch("compare", "first", "last")
    assert done.exit_code == 2
    assert "name two runs or more" in done.stderr
