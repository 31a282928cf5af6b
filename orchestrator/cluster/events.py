"""What a job says of itself, read back.

The events lie in a file beside the job's log; a driver that cannot know where that is leaves them
in the log, as lines `::orch {json}`.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from orchestrator.state import State
from orchestrator.wording import Event, describe

_COLORS = re.compile(r"\x1b\[[0-9;]*m")
_SECTIONS = {
    "started": "started",
    "progress": "progress",
    "evaluated": "evaluated",
    "restarted": "restarted",
    "result": "finished",
    "failure": "failed",
    "stopped": "stopped",
}
"""The parts of a run's facts, and the event of which each is."""
_EVENT = re.compile(r"^(?:\([^()]*\bpid=\d+[^()]*\)\s*)?::orch (\{.*\})\s*$")


def parse(line: str) -> Event | None:
    """Return the event of a log line, or None for any other line, rubbish after the mark too.

    Ray sets "(RayTrainWorker pid=71) ", in color, before what a worker prints.
    """
    match = _EVENT.match(_COLORS.sub("", line))
    return read(match[1]) if match else None


def read(text: str) -> Event | None:
    """Return the event that a JSON text holds, or None."""
    try:
        event = json.loads(text)
    except json.JSONDecodeError:
        return None
    return event if isinstance(event, dict) and _is_sound(event) else None


def sound(facts: Any) -> dict[str, Any]:
    """Return the facts of a run without what this version cannot tell.

    Facts come from files that another version may have written, or nobody that we know.
    """
    if not isinstance(facts, dict):
        return {}
    kept = dict(facts)
    for name, kind in _SECTIONS.items():
        told = kept.get(name)
        if told is not None and not (isinstance(told, dict) and _is_sound({**told, "event": kind})):
            del kept[name]
    if kept.get("state") not in list(State):
        kept.pop("state", None)
    return kept


def _is_sound(event: Any) -> bool:
    """Tell whether an event can be told to a person."""
    try:
        describe(event)
    except (KeyError, TypeError, ValueError, AttributeError):
        return False
    return isinstance(event.get("exit_code"), int | None)


def collect(told: Iterable[Event]) -> dict[str, Any]:
    """Return the last facts that events tell, arranged as in the run's progress.json."""
    facts: dict[str, Any] = {}
    for event in told:
        add(facts, event)
    return facts


def add(facts: dict[str, Any], event: Event) -> None:
    """Add an event to the facts known of a run."""
    kind = event["event"]
    match kind:
        case "started" | "progress" | "evaluated" | "restarted":
            facts |= {"state": "RUNNING", kind: event}
        case "finished":
            facts |= {"state": "SUCCEEDED", "result": event}
        case "failed":
            facts |= {"state": "FAILED", "failure": event}
        case "stopped":
            facts |= {"state": "STOPPED", "stopped": event}
