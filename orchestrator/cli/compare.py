"""orch compare: the results of several runs side by side, and MLflow's pages that compare them."""

from collections.abc import Iterable, Iterator, Mapping

import click

from models.precision import Precision
from orchestrator.cli.completion import complete_run
from orchestrator.cli.output import answer, answer_json, print_table
from orchestrator.cli.summary import as_dict
from orchestrator.errors import UsageError
from orchestrator.events import Evaluated, Finished
from orchestrator.runs import registry, view
from orchestrator.runs.view import RunView
from orchestrator.track.keys import metric
from orchestrator.track.run import RecordPlaces, TrackedRun, charts_of, comparison_of
from orchestrator.wording import settings_line

Results = Mapping[str, float | None]


@click.command()
@click.argument(
    "job_names", metavar="JOB JOB...", nargs=-1, required=True, shell_complete=complete_run
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def compare(job_names: tuple[str, ...], as_json: bool) -> None:
    """Print the latest results of several JOBs side by side, and where MLflow compares them.

    A search is compared by its best trial; JOB.t007 is one of its trials.

    \b
    Examples:
      orch compare cifar10_r18 cifar10_mbv2
      orch compare last cifar10_r18-20261124-101500-ab12 --json
    """
    records = list({record.run: record for record in map(registry.find, job_names)}.values())
    if len(records) < 2:
        raise UsageError(f"{records[0].run} cannot be compared with itself; name two runs or more.")
    looks = (_of_best(view.look(record)) for record in records)
    views = list({seen.record.run: seen for seen in looks}.values())  # a best trial may be named
    pages = dict(_pages(views))
    if as_json:
        answer_json({"runs": [as_dict(seen) for seen in views], "mlflow": pages})
        return
    points = _high_to_low(point for seen in views for point in _results(seen))
    columns = ("RUN", "STATE", "EPOCH", "METRIC", *points, "DELTA_B")
    print_table(columns, (_row(seen, points) for seen in views), right=columns[4:])
    for seen in views:
        if seen.trial:
            answer(f"{seen.record.run}: {settings_line(seen.trial.settings)}")
    for what, where in pages.items():
        answer(f"{f'MLflow {what}:':<19}{where}")


def _of_best(seen: RunView) -> RunView:
    """Return a search's best trial so far as a run, where it has one; any other run as it is."""
    at = seen.facts.searched or seen.facts.searching
    if at is None or at.best is None:
        return seen
    return view.look(registry.find(f"{seen.record.run}.{at.best.trial}"))


def _row(seen: RunView, points: list[str]) -> tuple[str, ...]:
    judged = _judged(seen)
    finished = seen.facts.finished
    results = _results(seen)
    return (
        seen.record.run,
        str(seen.state),
        _epoch(judged) if judged else "-",
        judged.metric_name if judged else "-",
        *(_number(results.get(point)) for point in points),
        _number(finished.delta_b if finished else None),
    )


def _judged(seen: RunView) -> Finished | Evaluated | None:
    """Return the event with a run's final results, else with its latest."""
    return seen.facts.finished or seen.facts.evaluated


def _epoch(judged: Finished | Evaluated) -> str:
    """Return the epoch of a run's results, from 1; until its end, that of the phase it is in."""
    epoch = str(judged.epoch + 1)
    if isinstance(judged, Evaluated) and judged.phases > 1:
        return f"{epoch} (phase {judged.phase + 1})"
    return epoch


def _results(seen: RunView) -> Results:
    """Return a run's results in percent by point: the final ones, else the latest."""
    if finished := seen.facts.finished:
        return {row.point: row.metric for row in finished.rows}
    return seen.facts.evaluated.metric if seen.facts.evaluated else {}


def _high_to_low(points: Iterable[str]) -> list[str]:
    """Return each point once, from high to low; points of several precisions come last."""
    return sorted(dict.fromkeys(points), key=_height, reverse=True)


def _height(point: str) -> tuple[int, ...]:
    try:
        return Precision.parse(point)
    except ValueError:
        return ()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _pages(views: list[RunView]) -> Iterator[tuple[str, str]]:
    """Yield MLflow's pages for runs recorded in one place: (what, command or link)."""
    recorded = [seen for seen in views if seen.facts.record]
    runs = [_tracked(record) for seen in recorded if (record := seen.facts.record)]
    if len(runs) < 2 or len({run.uri for run in runs}) > 1:
        return
    if runs[0].command:
        yield "server", runs[0].command
    if keys := _charted(recorded):
        yield "charts", f"{runs[0].server}/{charts_of(runs, keys)}"
    yield "comparison", f"{runs[0].server}/{comparison_of(runs)}"


def _tracked(record: RecordPlaces) -> TrackedRun:
    return TrackedRun(record.uri, record.experiment_id, record.run_id)


def _charted(views: list[RunView]) -> list[str]:
    """Return the metrics at all operating points of the runs, high to low."""
    names = dict.fromkeys(judged.metric_name for seen in views if (judged := _judged(seen)))
    points = _high_to_low(point for seen in views for point in _results(seen))
    return [metric(name, point) for point in points for name in names]
