"""orch data: what a job's data set holds, what is wrong with it, and copies that decode quickly."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import job_file
from orchestrator.cli.completion import complete_job_file
from orchestrator.cli.output import answer, answer_json, make_folder, print_table, say
from orchestrator.cli.progress import bar
from orchestrator.errors import JobFailed
from orchestrator.typed_json import plain

if TYPE_CHECKING:
    from orchestrator.prepare.data_check import Report

_job = click.argument("job_name", metavar="JOB|FILE.yaml", shell_complete=complete_job_file)
_set = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of the job."
)
_processes = click.option(
    "--processes",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="How many work side by side; as many as there are cores, if it is worth it.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group()
def data() -> None:
    """Look at the data set of a job, and make copies of videos that decode quickly.

    \b
    Examples:
      orch data check jobs/activitynet_r50.yaml --output broken.txt
      orch data stats last
    """


@data.command()
@_job
@_set
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the names of unusable samples there, for a job's data.exclude.",
)
@click.option(
    "--every-frame", "every", is_flag=True,
    help="Decode videos whole, not just a test clip and the last frame.",
)  # fmt: skip
@_processes
@_json
def check(
    job_name: str,
    overrides: tuple[str, ...],
    output: Path | None,
    every: bool,
    processes: int | None,
    as_json: bool,
) -> None:
    """List the samples that are missing, broken or too short; exit with 1 if there are any.

    Every file of the training and the evaluation set is read. Videos `in order` are whole, but slow
    to read: a jump to one of their frames would end at another one.

    \b
    Examples:
      orch data check jobs/activitynet_r50.yaml --output broken.txt
      orch submit jobs/activitynet_r50.yaml --set data.exclude=$PWD/broken.txt
    """
    from orchestrator.prepare import data_check

    job = job_file.job_of(job_name, overrides)
    if output is not None:
        make_folder(output.parent)  # before what takes long
    with bar("files") as tell:
        report = data_check.check(job, processes=processes, every=every, tell=tell)
    if output is not None:
        data_check.write_list(output, report)
        say(f"Written: {output}. Leave these samples out: --set data.exclude={output.absolute()}")
    if as_json:
        answer_json(plain(report) | {"counts": report.counts})
    else:
        _print_findings(report)
    if report.unusable:
        raise click.exceptions.Exit(JobFailed.exit_code)


def _print_findings(report: "Report") -> None:
    columns = ("SET", "PROBLEM", "SAMPLE", "REASON")
    if report.findings:
        print_table(columns, ((f.subset, f.kind, f.name, f.reason) for f in report.findings))
    found = ", ".join(f"{count} {kind}" for kind, count in report.counts.items() if count)
    answer(f"{report.samples} samples: {found or 'nothing is wrong with them'}.")
