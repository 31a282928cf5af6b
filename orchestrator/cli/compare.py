"""orch compare: the results of several runs side by side, and the pages that show them together."""

from collections.abc import Iterator
from typing import Any

import click

from orchestrator.cli.completion import complete_run
from orchestrator.cli.links import as_dict
from orchestrator.cli.output import answer, answer_json, print_table
from orchestrator.errors import UsageError
from orchestrator.runs import registry, view
from orchestrator.runs.view import RunView
from orchestrator.track.keys import label, metric
from orchestrator.track.run import TrackedRun, charts_of, comparison_of

Results = dict[int, float | None]


@click.command()
@click.argument(
    "job_names", metavar="JOB JOB...", nargs=-1, required=True, shell_complete=complete_run
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def compare(job_names: tuple[str, ...], as_json: bool) -> None:
    """Show the latest results of several JOBs side by side, and where MLflow compares them.

    \b
    Examples:
      orch compare cifar10_r18 cifar10_mbv2
      orch compare last cifar10_r18-20261124-101500-ab12 --json
    """
    records = list({record.run: record for record in map(registry.find, job_names)}.values())
    if len(records) < 2:
        raise UsageError(f"{records[0].run} alone is nothing to compare; name two runs or more.")
    views = [view.look(record) for record in records]
    pages = dict(_pages(views))
    if as_json:
        answer_json({"runs": [as_dict(seen) for seen in views], "mlflow": pages})
        return
    widths = sorted({bits for seen in views for bits in _results(seen)}, reverse=True)
    columns = ("RUN", "STATE", "EPOCH", "METRIC", *map(label, widths), "DELTA_B")
    print_table(columns, (_row(seen, widths) for seen in views), right=columns[4:])
    for what, where in pages.items():
        answer(f"{f'MLflow {what}:':<19}{where}")


def _row(seen: RunView, widths: list[int]) -> tuple[str, ...]:
    told = seen.facts.get("result") or seen.facts.get("evaluated") or {}
    results = _results(seen)
    return (
        seen.record.run,
        str(seen.state),
        str(told["epoch"] + 1) if told else "-",
        told.get("metric_name", "-"),
        *(_number(results.get(bits)) for bits in widths),
        _number(told.get("delta_b")),
    )


def _results(seen: RunView) -> Results:
    """Return a run's results in per cent by bit-width: the final ones, else the latest."""
    if result := seen.facts.get("result"):
        return {row["bits"]: row["metric"] for row in result["rows"]}
    evaluated = seen.facts.get("evaluated") or {"metric": {}}
    return {int(bits): value for bits, value in evaluated["metric"].items()}


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _pages(views: list[RunView]) -> Iterator[tuple[str, str]]:
    """Yield what MLflow shows of runs that are recorded in one place: (what, command or link)."""
    recorded = [(seen, seen.facts["started"]) for seen in views if _is_recorded(seen.facts)]
    if len(recorded) < 2 or len({started["mlflow_uri"] for _, started in recorded}) > 1:
        return
    runs = [_tracked(started) for _, started in recorded]
    if runs[0].command:
        yield "server", runs[0].command
    if keys := _charted([seen for seen, _ in recorded]):
        yield "charts", f"{runs[0].server}/{charts_of(runs, keys)}"
    yield "comparison", f"{runs[0].server}/{comparison_of(runs)}"


def _is_recorded(facts: dict[str, Any]) -> bool:
    return "mlflow_experiment_id" in (facts.get("started") or {})


def _tracked(started: dict[str, Any]) -> TrackedRun:
    return TrackedRun(
        started["mlflow_uri"], started["mlflow_experiment_id"], started["mlflow_run_id"]
    )


def _charted(views: list[RunView]) -> list[str]:
    """Return the metrics of all bit-widths of the runs, high to low."""
    found = {
        (bits, (seen.facts.get("result") or seen.facts["evaluated"])["metric_name"])
        for seen in views
        for bits in _results(seen)
    }
    return [metric(name, bits) for bits, name in sorted(found, reverse=True)]
