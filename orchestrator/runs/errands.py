"""Have a cluster work on a data set, and wait for what it finds."""

import secrets
from collections.abc import Callable
from typing import Any

from orchestrator.cluster import runtime, versions
from orchestrator.cluster.address import is_this_machine
from orchestrator.cluster.client import TOKEN, ClusterClient
from orchestrator.cluster.tail import LogLines, follow
from orchestrator.cluster.target import Target
from orchestrator.errand import FILE, Errand, Message
from orchestrator.errors import JobFailed, OrchError, Unreachable, UsageError
from orchestrator.runs.submission import shown_elsewhere

DRIVER = "orchestrator.errands.launch"
LAST_LINES = 20
"""Of the log of a driver that ended without a word."""


def do(
    errand: Errand,
    target: Target,
    say: Callable[[str], None],
    tell: Callable[[int, int], object],
) -> Any:
    """Return the report of an errand that a cluster runs, in JSON's form.

    The cluster is asked to end it when this is interrupted. Raises what the errand raises there,
    Unreachable, and JobFailed when it ended without a report.
    """
    client = target.client()
    errand_id = _submitted(errand, client, say)
    said: list[Message] = []
    lines: list[str] = []
    try:
        for look in follow(LogLines(client, errand_id)):
            for line in look.new:
                if message := Message.parse(line):
                    said.append(message)
                    tell(message.done, message.of)
                else:
                    lines.append(line)
    except BaseException:
        client.stop(errand_id)
        raise
    return _report(said, lines, errand_id, client)


def _submitted(errand: Errand, client: ClusterClient, say: Callable[[str], None]) -> str:
    heads = [node.ip for node in client.capacity().nodes if node.is_head]
    here = is_this_machine(client.url, heads[0] if heads else None)
    versions.check(client, say, here=here)
    package = runtime.pack(errand)
    uri = client.upload(package.name, package.data)
    errand_id = f"orch-data-{errand.command}-{secrets.token_hex(4)}"
    client.submit(
        errand_id,
        f"exec {runtime.plain_python(on_this_machine=here)} -m {DRIVER} {FILE}",
        {
            "working_dir": uri,
            "env_vars": runtime.SETTINGS | shown_elsewhere(say),
            "py_executable": runtime.plain_python(on_this_machine=here),
        },
        {TOKEN: secrets.token_hex(8)},
    )
    return errand_id


def _report(said: list[Message], lines: list[str], errand_id: str, client: ClusterClient) -> Any:
    last = said[-1] if said else Message()
    if last.error:
        raise _error(last)
    if last.report is None:
        tail = "\n".join(lines[-LAST_LINES:])
        raise JobFailed(
            f"{errand_id} ended on the cluster at {client.url} without a report. Its log ends "
            f"with:\n{tail}"
        )
    return last.report


def _error(last: Message) -> OrchError:
    kinds = (UsageError, Unreachable)
    return next((kind for kind in kinds if kind.exit_code == last.exit_code), JobFailed)(last.error)
