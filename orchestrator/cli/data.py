"""orch data: what a job's data set holds, what is wrong with it, and copies that decode quickly."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from orchestrator.cli import job_file
from orchestrator.cli.data_look import show, stats
from orchestrator.cli.data_options import (
    PathHere,
    job_argument,
    json_option,
    processes_option,
    set_option,
)
from orchestrator.cli.data_work import Work
from orchestrator.cli.output import answer, answer_json, make_folder, print_table, say
from orchestrator.cli.where import where
from orchestrator.errors import JobFailed, UsageError
from orchestrator.typed_json import made_of, plain

if TYPE_CHECKING:
    from orchestrator.curate.check import Report as Findings
    from orchestrator.curate.manifest import Options
    from orchestrator.curate.outcome import Report

MIB = 1 << 20
SHORT_SIDES = {"gop": 256, "pack": 256, "shards": 288}
OPTIONS = {"gop": ("gop", "crf"), "pack": ("frames", "quality"), "shards": ("quality",)}
"""Of copies, by their format."""
SUMS = ("sources", "copies")
PER_SEGMENT = 9
"""Frames of a segment that a pack keeps: odd, so that the middle one is among them."""


@click.group()
def data() -> None:
    """Look at the data set of a job, and make copies of videos that decode quickly.

    \b
    Examples:
      orch data check jobs/activitynet_r50.yaml --output broken.txt
      orch data stats last
      orch data show jobs/imagenet_r18.yaml
      orch data prepare jobs/activitynet_r50.yaml --format gop --output /data/activitynet_256
    """


data.add_command(stats)
data.add_command(show)


@data.command()
@job_argument
@set_option
@click.option(
    "--output",
    metavar="FILE",
    type=PathHere(dir_okay=False),
    help="Write the names of unusable samples there, for a job's data.exclude.",
)
@click.option(
    "--every-frame", "every", is_flag=True,
    help="Decode videos whole, not just a test clip and the last frame.",
)  # fmt: skip
@processes_option
@where
@json_option
def check(
    job_name: str,
    overrides: tuple[str, ...],
    output: Path | None,
    every: bool,
    processes: int | None,
    address: str | None,
    cluster: str | None,
    as_json: bool,
) -> None:
    """List the samples that are missing, broken or too short; exit with 1 if there are any.

    Every file of the training and the evaluation set is read. Videos `in order` are whole, but slow
    to read: a jump to one of their frames would end at another one.

    \b
    Examples:
      orch data check jobs/activitynet_r50.yaml --output broken.txt
      orch submit jobs/activitynet_r50.yaml --set data.exclude=$PWD/broken.txt
      orch data check jobs/imagenet_r18.yaml --cluster lab
    """
    from orchestrator.curate.check import Report, write_list

    work = Work.at(address, cluster, processes)
    job = job_file.job_of(job_name, overrides)
    if output is not None:
        make_folder(output.parent)  # before what takes long
    options = {"every": every}
    report = work.report("check", job, options, "files", partial(made_of, Report))
    for remark in report.remarks:
        say(f"warning: {remark}")
    for problem in report.problems:
        say(f"A job on these data is refused: {problem}")
    if output is not None:
        write_list(output, report)
        say(f"Written: {output}. Leave these samples out: --set data.exclude={output.absolute()}")
    if as_json:
        answer_json(plain(report) | {"counts": report.counts})
    else:
        _print_findings(report)
    if report.unusable or report.problems:
        raise click.exceptions.Exit(JobFailed.exit_code)


def _print_findings(report: "Findings") -> None:
    columns = ("SET", "PROBLEM", "SAMPLE", "REASON")
    if report.findings:
        print_table(columns, ((f.subset, f.kind, f.name, f.reason) for f in report.findings))
    found = ", ".join(f"{count} {kind}" for kind, count in report.counts.items() if count)
    answer(f"{report.samples} samples: {found or 'nothing is wrong with them'}.")


@data.command()
@job_argument
@set_option
@click.option(
    "--format", "form", type=click.Choice(["gop", "pack", "shards"]), required=True,
    help="gop: H.264 with many key frames. pack: some frames as JPEGs in a file. shards: images.",
)  # fmt: skip
@click.option(
    "--output", metavar="FOLDER", type=PathHere(file_okay=False), required=True,
    help="Folder of the copies, with the lists: data.root of jobs on them.",
)  # fmt: skip
@click.option(
    "--short-side", type=click.IntRange(32, 4096), metavar="PIXELS",
    help="Of copies; smaller originals keep their size. 256 for videos, 288 for images.",
)  # fmt: skip
@click.option(
    "--gop", type=click.IntRange(1, 250), default=8, show_default=True,
    help="gop: a key frame after so many.",
)  # fmt: skip
@click.option(
    "--crf", type=click.IntRange(0, 51), default=23, show_default=True,
    help="gop: x264's rate factor; less is better and larger.",
)  # fmt: skip
@click.option(
    "--frames", type=click.IntRange(1, 100_000), metavar="N",
    help="pack: how many frames of a video are kept; 9 for each segment of the job if not given.",
)  # fmt: skip
@click.option(
    "--remove-others", is_flag=True,
    help="gop, pack: remove copies of videos that are not in the job (any more).",
)  # fmt: skip
@click.option(
    "--quality", type=click.IntRange(1, 100), default=90, show_default=True,
    help="pack, shards: of the JPEGs.",
)  # fmt: skip
@processes_option
@where
@json_option
def prepare(
    job_name: str,
    overrides: tuple[str, ...],
    form: str,
    output: Path,
    short_side: int | None,
    gop: int,
    crf: int,
    frames: int | None,
    quality: int,
    remove_others: bool,
    processes: int | None,
    address: str | None,
    cluster: str | None,
    as_json: bool,
) -> None:
    """Copy the videos or images of a job so that they decode quickly; exit with 1 if one fails.

    What is there already is not made again, unless its original has changed. A copy of the format
    gop has all frames of its original; it takes PyAV (pip install 'orch[prepare]') or ffmpeg.
    Images are put into tar files, a thousand in each. On a cluster all nodes must share FOLDER.

    \b
    Examples:
      orch data prepare jobs/activitynet_r50.yaml --format gop --output /data/activitynet_256
      orch submit jobs/activitynet_r50.yaml --set data.root=/data/activitynet_256
      orch data prepare jobs/imagenet_r18.yaml --format shards --output /data/imagenet_288
    """
    from orchestrator.curate.outcome import Report

    work = Work.at(address, cluster, processes)
    job = job_file.job_of(job_name, overrides)
    kept = frames or PER_SEGMENT * (job.model.num_segments or 1)
    options = _options(form, short_side, gop=gop, crf=crf, frames=kept, quality=quality)
    given = {"folder": str(output.absolute()), "how": plain(options)}
    given |= {"remove_others": remove_others}
    report = work.report("prepare", job, given, "copies", partial(made_of, Report))
    for remark in report.remarks:
        say(f"warning: {remark}")
    for key in ("test_scale", "resize"):
        if getattr(job.data, key, 0) > options.short_side:
            there = getattr(job.data, key)
            say(f"warning: data.{key} is {there}, above the copies' {options.short_side}")
    if as_json:
        sums = {"counts": report.counts, "bytes": dict(zip(SUMS, report.bytes, strict=True))}
        answer_json(plain(report) | sums)
    else:
        _print_copies(report)
    if report.without_copy:
        raise click.exceptions.Exit(JobFailed.exit_code)


def _check_options(form: str) -> None:
    """Raise UsageError for options given that a format has not."""
    context = click.get_current_context()
    others = {name for own in OPTIONS.values() for name in own}.difference(OPTIONS[form])
    given = [
        f"--{name.replace('_', '-')}"
        for name in sorted(others)
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise UsageError(f"{', '.join(given)}: --format {form} has no such option; leave it out.")


def _options(form: str, short_side: int | None, **given: int) -> "Options":
    """Return the options of a format. Raises UsageError for others on the command line."""
    from orchestrator.curate.manifest import Options

    _check_options(form)
    own = {key: given[key] for key in OPTIONS[form]}
    return Options(form, short_side or SHORT_SIDES[form], **own)


def _print_copies(report: "Report") -> None:
    if report.without_copy:
        rows = ((one.name, one.reason) for one in report.without_copy)
        print_table(("WITHOUT A COPY", "REASON"), rows)
    counts = ", ".join(f"{count} {state}" for state, count in report.counts.items() if count)
    originals, made = report.bytes
    answer(f"{len(report.outcomes)} copies: {counts}.")
    answer(f"Originals {originals / MIB:.1f} MiB, copies {made / MIB:.1f} MiB in {report.folder}.")
    answer(f"Train on the copies with --set data.root={report.folder}")
