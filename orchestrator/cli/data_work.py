"""Where the work of `orch data` is done: by processes of this machine, or on a cluster."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.cli.output import say
from orchestrator.cli.progress import bar
from orchestrator.cluster.target import Target, configured
from orchestrator.errors import UsageError
from orchestrator.typed_json import Values

if TYPE_CHECKING:
    from orchestrator.job.schema import Job

T = TypeVar("T")


@dataclass(frozen=True)
class Work:
    """Where to work. target: a cluster, None for this machine. processes: of this machine."""

    target: Target | None
    processes: int | None

    @classmethod
    def at(cls, address: str | None, cluster: str | None, processes: int | None) -> "Work":
        """Return where the options of a command say. Raises UsageError."""
        target = configured(address, cluster)
        if target and processes:
            raise UsageError(
                f"--processes counts those of this machine, and the work is done on {target}, on "
                "all cores that are free; leave one of them out."
            )
        return cls(target, processes)

    def report(
        self,
        command: str,
        job: "Job",
        options: Values,
        what: str,
        read: Callable[[Any], T],
    ) -> T:
        """Let a command work, with a bar; return its report.

        what: it works on, for the bar. read: makes a report from its JSON form.
        """
        with bar(what) as tell:
            if self.target is None:
                from orchestrator.curate import commands
                from orchestrator.curate.pool import Processes

                hands = Processes(self.processes)
                found: T = commands.run(command, job, options, hands, tell)
                return found
            from orchestrator.errand import Errand
            from orchestrator.runs import errands

            errand = Errand(command, job.as_dict(), options)
            return read(errands.do(errand, self.target, say, tell))
