"""The commands of `orch data` that look at every file: the same here and on a cluster."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.curate import check, copies, stats
from orchestrator.curate.check import Told
from orchestrator.curate.manifest import Options
from orchestrator.curate.outcome import Report
from orchestrator.curate.pool import Hands
from orchestrator.job.schema import Job
from orchestrator.typed_json import Values, made_of


def run(command: str, job: Job, options: Values, hands: Hands, tell: Told) -> Any:
    """Return the report of a command. options: its own ones, in JSON's form.

    Raises what the functions of the commands raise.
    """
    return _COMMANDS[command](job, options, hands, tell)


def _check(job: Job, options: Values, hands: Hands, tell: Told) -> check.Report:
    return check.check(job, hands=hands, every=options["every"], tell=tell)


def _stats(job: Job, _options: Values, hands: Hands, tell: Told) -> list[stats.Stats]:
    return stats.stats(job, hands=hands, tell=tell)


def _prepare(job: Job, options: Values, hands: Hands, tell: Told) -> Report:
    how, folder = made_of(Options, options["how"]), Path(options["folder"])
    remove = bool(options["remove_others"])
    return copies.prepare(job, folder, how, hands=hands, tell=tell, remove=remove)


_COMMANDS: dict[str, Callable[[Job, Values, Hands, Told], Any]] = {
    "check": _check,
    "stats": _stats,
    "prepare": _prepare,
}
