"""The jobs of one submission: loaded, in the order in which they can begin, with their folders."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from orchestrator.cli import job_file
from orchestrator.cli.output import say
from orchestrator.errors import JobFileError, OrchError, UsageError
from orchestrator.runs import references, turns

if TYPE_CHECKING:
    from orchestrator.cluster.target import Target
    from orchestrator.job.schema import Job
    from orchestrator.job.whole import LoadedJob

Result = TypeVar("Result")


@dataclass(frozen=True)
class Member:
    """A job of a submission. folder: its run's.

    awaited: those of runs that it begins after. waits_for: the names of these runs, or of jobs that
    are submitted with it.
    """

    file: str
    job: "Job"
    folder: str
    awaited: frozenset[str] = frozenset()
    waits_for: tuple[str, ...] = ()


def load_all(
    files: Sequence[str],
    overrides: Sequence[str],
    name: str | None,
    each_bit_width: bool,
    target: "Target | None",
) -> list[Member]:
    """Return the jobs of all files, each after those that it starts from.

    Raises JobFileError and UsageError with all that is wrong.
    """
    from orchestrator.job.load import load_each_bit_width, load_job

    under = target.settings if target else None
    if name is not None and len(files) > 1:
        raise UsageError(f"--name {name}: names one job, and {len(files)} files are given.")
    loaded: list[tuple[str, LoadedJob]] = []
    found: dict[str, list[str]] = {}
    for file in files:
        try:
            here = job_file.here(file)
            if each_bit_width:
                each = load_each_bit_width(here, overrides, name=name, under=under)
                loaded += [(file, one) for one in each]
            else:
                loaded.append((file, load_job(here, overrides, name=name, under=under)))
        except JobFileError as error:
            for mistake in error.mistakes:
                found.setdefault(mistake, []).append(file)
    mistakes = [_with_files(mistake, whose, files) for mistake, whose in found.items()]
    mistakes += _called_the_same([(file, one.job.name) for file, one in loaded])
    if mistakes:
        raise JobFileError(mistakes)
    warn([one for _, one in loaded])
    return _in_turn({one.job.name: (file, one.job) for file, one in loaded}, target)


def _in_turn(jobs: "dict[str, tuple[str, Job]]", target: "Target | None") -> list[Member]:
    """Return the jobs with the folders of their runs, with which others name them."""
    from orchestrator.runs import submission

    order = turns.in_turn([job for _, job in jobs.values()])
    folders = {name: submission.new_folder(job) for name, (_, job) in jobs.items()}
    members = [Member(*jobs[name], folders[name]) for name in order]
    together = {folder: jobs[name][1] for name, folder in folders.items()}

    def resolved(member: Member) -> Member:
        job = references.resolved(member.job, folders)
        awaited = references.awaited(job, target, together)
        waits_for = sorted(
            together[one].name if one in together else Path(one).name for one in awaited
        )
        return replace(member, job=job, awaited=awaited, waits_for=tuple(waits_for))

    return each(members, resolved)


def _with_files(mistake: str, whose: Sequence[str], files: Sequence[str]) -> str:
    """Return a mistake of an option with the files to which it does not fit, if it does to some."""
    if not mistake.startswith("--set") or len({*whose}) == len({*files}):
        return mistake
    return f"{mistake} So it is with {', '.join(dict.fromkeys(whose))}."


def _called_the_same(named: Sequence[tuple[str, str]]) -> list[str]:
    """Return a line for each name that several jobs have, since `orch status NAME` means one."""
    files: dict[str, list[str]] = {}
    for file, name in named:
        files.setdefault(name, []).append(file)
    twice = dict.fromkeys(file for file, name in named if named.count((file, name)) > 1)
    return [f"{file}: named more than once; once is enough." for file in twice] + [
        f"{' and '.join(others)}: each is a job called '{name}'; give each a name of its own."
        for name, given in files.items()
        if len(others := dict.fromkeys(given)) > 1
    ]


def warn(loaded: Sequence["LoadedJob"]) -> None:
    """Say what is odd about jobs, each thing once."""
    for warning in dict.fromkeys(warning for one in loaded for warning in one.warnings):
        say(f"warning: {warning}")


def each(members: Sequence[Member], act: Callable[[Member], Result]) -> list[Result]:
    """Return the results of an action for each of the jobs; raise all errors together.

    An error that not all jobs have names theirs: by their files, or by name if these are one.
    """
    by_name = len({member.file for member in members}) == 1
    results: list[Result] = []
    errors: list[OrchError] = []
    whose: dict[str, list[str]] = {}
    for member in members:
        try:
            results.append(act(member))
        except OrchError as error:
            errors.append(error)
            whose.setdefault(str(error), []).append(member.job.name if by_name else member.file)
    if not errors:
        return results
    if len(errors) == len(members) and len(whose) == 1:
        raise errors[0]
    wrong = any(isinstance(error, UsageError) for error in errors)
    lines = (f"{', '.join(who)}: " + error.replace("\n", "\n  ") for error, who in whose.items())
    raise (UsageError if wrong else type(errors[0]))("\n".join(lines))
