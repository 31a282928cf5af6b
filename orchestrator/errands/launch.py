"""The driver of an errand: `python -m orchestrator.errands.launch errand.json` on the cluster.

It spreads the work over the nodes and says in its log how far it is, and in the end what was found.
"""

import sys
import time
import traceback
from pathlib import Path

import ray

from orchestrator import handover
from orchestrator.curate import commands
from orchestrator.errand import Errand, Message
from orchestrator.errands.tasks import Tasks
from orchestrator.errors import OrchError
from orchestrator.job.schema import job_from_dict
from orchestrator.typed_json import plain

EVERY_SECONDS = 1.0
"""How often it says how far it is."""


def main(path: str) -> int:
    """Run an errand to its end; return the exit code."""
    errand = Errand.read(Path(path))
    try:
        handover.take_up()
        job = job_from_dict(errand.job)
        ray.init(logging_level="WARNING", log_to_driver=False)
        report = commands.run(errand.command, job, errand.options, Tasks(), _Teller())
    except OrchError as error:
        _say(Message(error=str(error), exit_code=error.exit_code))
        return error.exit_code
    except Exception:
        traceback.print_exc()
        return 1
    _say(Message(report=plain(report)))
    return 0


class _Teller:
    """Says how far the work is, from time to time."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, done: int, of: int) -> None:
        if done == of or time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY_SECONDS
            _say(Message(done, of))


def _say(message: Message) -> None:
    print(message.line(), flush=True)  # noqa: T201 - the log of the job


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
