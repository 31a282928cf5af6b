"""Follow the log of a job: new lines as they come, none twice, across lost connections.

Ray offers a websocket and the whole log over HTTP. Measured with Ray 2.60: the websocket brings
the first line 5 s after the submission and closes 3 s after the job's end; asking for the whole
log costs 10 ms (0.3 s at 10 MB) and sees both within a second. So the log is asked for again and
again, at longer intervals when it is large, and what is already known is left out. Nothing has to
be kept open, so nothing can break that would have to be told apart from the job's end.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.cluster.client import ClusterClient, JobInfo
from orchestrator.cluster.state import is_final
from orchestrator.errors import Unreachable

INTERVAL_SECONDS = 1.0
COST_SHARE = 20
"""At most one twentieth of the time is spent on asking."""
PATIENCE_SECONDS = 120.0
"""How long a cluster may be away before following gives up."""


@dataclass(frozen=True)
class Look:
    """One look at a job: its state, and the complete lines since the last look.

    info: None when the cluster no longer knows the job. trouble: why the cluster does not answer
    at the moment; then the rest is what was known before.
    """

    info: JobInfo | None
    lines: list[str]
    trouble: str = ""


class Tail:
    """The part of a growing text that has not been seen."""

    def __init__(self) -> None:
        self._seen = 0

    def new_lines(self, text: str, *, complete: bool) -> list[str]:
        """Return the new lines of `text`; an unfinished last one only when the text is complete."""
        end = len(text) if complete else text.rfind("\n") + 1
        lines = text[self._seen : end].splitlines()
        self._seen = max(self._seen, end)
        return lines


def follow(
    client: ClusterClient,
    submission_id: str,
    *,
    interval: float | None = None,
    patience: float = PATIENCE_SECONDS,
) -> Iterator[Look]:
    """Look at a job until it has ended. The last look holds the rest of the log.

    Raises Unreachable when the cluster does not answer for `patience` seconds.
    """
    pause = INTERVAL_SECONDS if interval is None else interval
    tail = Tail()
    info: JobInfo | None = None
    answered = time.monotonic()
    while True:
        began = time.monotonic()
        try:
            info = client.job(submission_id)
            ended = info is None or is_final(info.state)
            lines = tail.new_lines(client.logs(submission_id), complete=ended)
        except Unreachable as error:
            if time.monotonic() - answered > patience:
                raise
            yield Look(info, [], str(error))
        else:
            answered = time.monotonic()
            yield Look(info, lines)
            if ended:
                return
        time.sleep(max(pause, COST_SHARE * (answered - began)))
