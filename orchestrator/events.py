"""What a run says while it runs: events, and the last facts in a file.

An event is printed as `::orch ` and JSON, by any process of the job; `job_log` in the driver takes
it from there. `progress.json` in the run's folder keeps the last of each for those who ask later.
"""

import time
from typing import Any

from orchestrator.store.run_folder import RunFolder
from orchestrator.strict_json import dumps

MARK = "::orch "
STATES = {"finished": "SUCCEEDED", "failed": "FAILED", "stopped": "STOPPED"}
_KEPT = ("started", "progress", "evaluated", "restarted")


def say(event: str, **facts: Any) -> None:
    """Print an event as one line, with the time."""
    told = {"event": event, "time": round(time.time(), 3), **facts}
    print(MARK + dumps(told), flush=True)  # noqa: T201 - the job's log


def events_file(submission_id: str) -> str:
    """Return the name of the file that holds the events of a job, among the logs of Ray."""
    return f"orch-events-{submission_id}.jsonl"


class Events:
    """Say events and keep the last facts in the run's folder, replaced whole each time."""

    def __init__(self, folder: RunFolder) -> None:
        self._file = folder.facts
        self._troubled = False

    def say(self, event: str, **facts: Any) -> None:
        """Print an event and keep it."""
        facts = {"time": round(time.time(), 3), **facts}
        say(event, **facts)
        kept = self._load()
        if event in _KEPT:
            kept |= {"state": "RUNNING", "failure": None, event: facts}
            kept["restarted"] = None if event == "started" else kept.get("restarted")
        elif event in STATES:
            kept["state"] = STATES[event]
            kept["result"] = facts if event == "finished" else kept.get("result")
            kept["failure"] = facts if event == "failed" else None
        self._write(dumps(kept))

    def _write(self, text: str) -> None:
        """Write the file; on a full disk the log alone tells what happens, and says so once."""
        try:
            self._file.write(text)
        except OSError as error:
            if not self._troubled:
                say("log", level="warning", message=f"{self._file.path}: {error.strerror}")
            self._troubled = True

    def _load(self) -> dict[str, Any]:
        """Return what is kept; nothing of a file that is missing, or was damaged meanwhile."""
        try:
            kept = self._file.read_json()
        except (OSError, ValueError):
            kept = None
        if isinstance(kept, dict):
            return kept
        return dict.fromkeys(("started", "progress", "evaluated", "result", "failure"))
