"""orch subnet: the best bit-width of each layer of a trained network, for an average of bits."""

from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import click

from orchestrator.cli.completion import complete_run
from orchestrator.cli.numbers import Finite
from orchestrator.cli.output import (
    answer,
    answer_json,
    console,
    make_folder,
    moves,
    print_table,
    say,
)
from orchestrator.errors import UsageError
from orchestrator.typed_json import plain

if TYPE_CHECKING:
    from orchestrator.job.schema import Job
    from orchestrator.runs.registry import Record
    from orchestrator.subnet.search import Asked, Found


@click.command()
@click.argument("name", metavar="JOB", shell_complete=complete_run)
@click.option(
    "--average-bits", type=Finite(1, 8), required=True, help="Bits of a layer on average."
)
@click.option(
    "--top",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="Sub-nets of each kind.",
)
@click.option(
    "--images", type=click.IntRange(min=1), default=1000, show_default=True,
    help="Training images for the sensitivity of layers.",
)  # fmt: skip
@click.option(
    "--output",
    type=click.Path(file_okay=False),
    help="Folder of tables and figures; else the run's.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def subnet(
    name: str, average_bits: float, top: int, images: int, output: str | None, as_json: bool
) -> None:
    """Search the best bit-width of each layer of a finished JOB, here and now.

    Layers are as sensitive as the top eigenvalue of their Hessian is large. The best assignments of
    the bits to the sensitive ones are evaluated beside random ones with as many bits.

    \b
    Example:
      orch subnet cifar10_r18_bitmixer --average-bits 3 --top 20
    """
    from orchestrator.runs import registry
    from orchestrator.subnet.search import Asked

    record = registry.find(name)
    folder = Path(output) if output else _beside(record)
    job = _job(record)
    make_folder(folder)  # before what takes long
    found = _found(job, record, Asked(average_bits, top, images))
    _write(found, folder)
    if as_json:
        answer_json(plain(found) | {"assignment": found.assignment(found.winner)})
        return
    _print(found, folder)


def _job(record: "Record") -> "Job":
    """Return the settings of a run.

    Raises UsageError for a search, which is many runs, and JobFileError for settings that are no
    job here, such as those that name own code which is gone.
    """
    from orchestrator.job.load import load_values
    from orchestrator.runs import trials

    if record.is_search:
        raise UsageError(f"{record.run} is a search; name one of its trials, {record.run}.t001.")
    return load_values(trials.job_of(record), record.run).job


def _beside(record: "Record") -> Path:
    """Return a folder in that of a run. Raises UsageError for a run in a bucket."""
    from orchestrator.job.paths import in_bucket

    if in_bucket(record.run_dir):
        raise UsageError(
            f"{record.run} is in {record.run_dir}; name a folder for tables and figures: "
            "--output DIR."
        )
    return Path(record.run_dir) / "subnet"


def _found(job: "Job", record: "Record", asked: "Asked") -> "Found":
    """Search, with a bar on a terminal that says how far it is."""
    from rich.progress import Progress

    from orchestrator.subnet.search import find_subnets

    screen = console(err=True)
    with Progress(console=screen, transient=True, disable=not moves(screen)) as progress:
        tasks: dict[str, int] = {}

        def tell(what: str, share: float) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=1.0)
            progress.update(tasks[what], completed=share)  # type: ignore[arg-type]

        return find_subnets(job, record.folder, asked, tell)


def _write(found: "Found", folder: Path) -> None:
    from orchestrator.subnet.figures import figures

    for drawing in figures(found):
        drawing.write(folder)
    say(f"Tables and figures are in {folder}.")


def _print(found: "Found", folder: Path) -> None:
    from orchestrator.job.source import dump

    columns = ("SUBNET", "SCORE", found.metric_name.upper(), "BITS OF THE LAYERS")
    rows = (
        (one.name, f"{one.score:.4g}", f"{one.metric:.2f}", " ".join(map(_brief, one.precisions)))
        for one in found.subnets
    )
    print_table(columns, rows, right=columns[1:3])
    best, drawn = ([one.metric for one in found.of(kind)] for kind in ("best", "random"))
    answer(f"Mean of the best: {fmean(best):.2f}, of random ones: {fmean(drawn):.2f}.")
    answer(f"The best, {found.winner.name}, as points of a job:")
    answer(dump({"quantizer": {"assignment": {"subnet": found.assignment(found.winner)}}}))


def _brief(label: str) -> str:
    return label.removesuffix("bit")
