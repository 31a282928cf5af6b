"""orch data stats, orch data show: what a data set holds, in numbers and in pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import job_file
from orchestrator.cli.data_options import (
    PathHere,
    job_argument,
    json_option,
    processes_option,
    set_option,
)
from orchestrator.cli.data_work import Work
from orchestrator.cli.output import answer_json, make_folder, print_table, say
from orchestrator.cli.where import where
from orchestrator.errors import UsageError
from orchestrator.typed_json import made_of, plain

if TYPE_CHECKING:
    from orchestrator.curate.stats import Spread, Stats

KIB = 1 << 10


@click.command()
@job_argument
@set_option
@click.option("--classes", is_flag=True, help="Print a row for each class instead.")
@processes_option
@where
@json_option
def stats(
    job_name: str,
    overrides: tuple[str, ...],
    classes: bool,
    processes: int | None,
    address: str | None,
    cluster: str | None,
    as_json: bool,
) -> None:
    """Print how many samples and classes there are, how long the videos are and how large.

    \b
    Examples:
      orch data stats jobs/activitynet_r50.yaml
      orch data stats last --classes
    """
    work = Work.at(address, cluster, processes)
    job = job_file.job_of(job_name, overrides)
    found = work.report("stats", job, {}, "files", _read)
    if as_json:
        answer_json(plain(found))
    elif classes:
        _print_classes(found)
    else:
        _print_sets(found)


def _read(values: Any) -> "list[Stats]":
    from orchestrator.curate.stats import Stats

    return [made_of(Stats, value) for value in values]


def _print_classes(found: "list[Stats]") -> None:
    rows = zip(found[0].classes, *(one.classes.values() for one in found), strict=True)
    names = [one.subset for one in found]
    cells = ((name, *map(str, counts)) for name, *counts in rows)
    print_table(("CLASS", *names), cells, right=names)


def _print_sets(found: "list[Stats]") -> None:
    heads = (
        "SET",
        "SAMPLES",
        "CLASSES",
        "OF A CLASS",
        "UNUSABLE",
        "FRAMES",
        "HEIGHT",
        "WIDTH",
        "KIB",
    )
    rows = (
        (
            one.subset, str(one.samples), str(one.present), _range(one.of_a_class),
            str(one.unusable), _range(one.frames), _range(one.height), _range(one.width),
            _range(one.bytes, KIB),
        )
        for one in found
    )  # fmt: skip
    print_table(heads, rows, right=heads[1:])
    say("Ranges are least - median - most.")


def _range(spread: "Spread | None", unit: int = 1) -> str:
    if spread is None:
        return "-"
    return " - ".join(f"{value / unit:.0f}" for value in (spread.least, spread.median, spread.most))


@click.command()
@job_argument
@set_option
@click.option(
    "--split", type=click.Choice(["train", "val"]), default="train", show_default=True,
    help="Samples as they are trained on, or as they are evaluated.",
)  # fmt: skip
@click.option(
    "--count", type=click.IntRange(1, 400), default=16, show_default=True, help="How many."
)
@click.option(
    "--epoch", type=click.IntRange(min=0), default=0, show_default=True,
    help="train: of which epoch.",
)  # fmt: skip
@click.option(
    "--output", metavar="FILE.png", type=PathHere(dir_okay=False),
    help="NAME_SPLIT.png if not given.",
)  # fmt: skip
def show(
    job_name: str,
    overrides: tuple[str, ...],
    split: str,
    count: int,
    epoch: int,
    output: Path | None,
) -> None:
    """Draw what the network sees: samples after crops, resizing and flips, with their classes.

    Of training they are the first ones of an epoch, as a run gets them; of the evaluation some from
    all over the set.

    \b
    Examples:
      orch data show jobs/imagenet_r18.yaml
      orch data show last --split val --count 40 --output val.png
    """
    from orchestrator.curate.show import samples, sheet
    from orchestrator.files import write_whole

    job = job_file.job_of(job_name, overrides)
    file = output or Path(f"{job.name}_{split}.png")
    if file.suffix != ".png":
        raise UsageError(f"--output {file}: the name of a picture ends in .png")
    make_folder(file.parent)
    drawn = samples(job, train=split == "train", count=count, epoch=epoch)
    write_whole(file, sheet(f"{job.name}, {split}", drawn))
    say(f"Written: {file}")
