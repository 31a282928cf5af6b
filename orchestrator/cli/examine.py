"""orch show, orch validate: what a job file means, and what is wrong with it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import job_file
from orchestrator.cli.completion import complete_job_file
from orchestrator.cli.output import answer, answer_json, say
from orchestrator.errors import JobFileError, OrchError, UsageError
from orchestrator.typed_json import Values, plain

if TYPE_CHECKING:
    from orchestrator.job.schema import Job

INDENT = "  "
WIDEST_VALUE = 60
"""Width of the values; a longer one does not push the comments of the others to the right."""

_set = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of the job."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command()
@click.argument("file", type=click.Path(), shell_complete=complete_job_file)
@_set
@_json
def show(file: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Print the whole job that FILE means, and where each value comes from.

    \b
    Examples:
      orch show jobs/cifar10_r18.yaml
      orch show jobs/cifar10_r18.yaml --set optimizer.lr=0.05 --json
    """
    from orchestrator.job.load import load_job

    loaded = load_job(job_file.here(file), list(overrides))
    for warning in loaded.warnings:
        say(f"warning: {warning}")
    values = _resolved(loaded.job).as_dict()
    if as_json:
        answer_json({"job": values, "origins": loaded.origins, "warnings": loaded.warnings})
        return
    lines = list(_lines(values, loaded.origins))
    column = max((len(text) for text, _ in lines if len(text) <= WIDEST_VALUE), default=0)
    for text, origin in lines:
        answer(f"{text:<{column}}  # {origin}" if origin else text)


@click.command()
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(),
    shell_complete=complete_job_file,
)  # fmt: skip
@_json
def validate(files: tuple[str, ...], as_json: bool) -> None:
    """Check job files; report every mistake of all of them at once.

    \b
    Example:
      orch validate jobs/*.yaml
    """
    reports = [_report(file) for file in files]
    if as_json:
        answer_json({"ok": all(report.ok for report in reports), "files": plain(reports)})
    else:
        _print_reports(reports)
    if not all(report.ok for report in reports):
        raise click.exceptions.Exit(UsageError.exit_code)


def _resolved(job: "Job") -> "Job":
    """Return the job with the runs of its reference resolved, as far as they are known now."""
    from orchestrator.runs import references

    try:
        return references.resolved(job)
    except OrchError as error:
        say(f"warning: {error}")
        return job


@dataclass(frozen=True)
class _Report:
    """What is wrong with a job file."""

    file: str
    ok: bool
    mistakes: list[str]
    warnings: list[str]


def _report(file: str) -> _Report:
    from orchestrator.job.load import load_job

    try:
        return _Report(file, True, [], load_job(job_file.here(file)).warnings)
    except JobFileError as error:
        return _Report(file, False, error.mistakes, [])


def _print_reports(reports: list[_Report]) -> None:
    for report in reports:
        for warning in report.warnings:
            say(f"warning: {warning}")
        if report.ok:
            answer(f"{report.file}: ok")
    mistakes = dict.fromkeys(line for report in reports for line in report.mistakes)
    for line in mistakes:
        say(line)
    if mistakes:
        say(f"{len(mistakes)} mistake{'s' * (len(mistakes) > 1)}.")


def _lines(
    values: Values, origins: dict[str, str], above: str = "", depth: int = 0
) -> Iterator[tuple[str, str]]:
    """Yield the lines of the job as YAML, each with the origin of its value."""
    for key, value in values.items():
        dotted = f"{above}{key}"
        if isinstance(value, dict) and value:
            yield f"{INDENT * depth}{_scalar(key)}:", ""
            yield from _lines(value, origins, f"{dotted}.", depth + 1)
        elif value and isinstance(value, list) and all(isinstance(item, dict) for item in value):
            yield f"{INDENT * depth}{_scalar(key)}:", origins.get(dotted, "")
            for number, item in enumerate(value, start=1):
                yield from _item(item, origins, f"{dotted}.{number}.", depth)
        else:
            yield f"{INDENT * depth}{_scalar(key)}: {_scalar(value)}", origins.get(dotted, "")


def _item(
    values: Values, origins: dict[str, str], above: str, depth: int
) -> Iterator[tuple[str, str]]:
    """Yield the lines of one mapping in a list, the first of them behind a dash."""
    lines = list(_lines(values, origins, above)) or [("{}", "")]
    for number, (text, origin) in enumerate(lines):
        yield f"{INDENT * depth}{'- ' if number == 0 else INDENT}{text}", origin


def _scalar(value: Any) -> str:
    """Return a value as YAML on one line."""
    from orchestrator.job.source import dump

    return dump(value, one_line=True)
