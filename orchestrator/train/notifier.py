"""Posts to a webhook how a run goes, from the process that supervises its drivers.

It reads the events that the drivers keep beside the job's log, so that a killed driver is no less
heard of. Nothing waits for the webhook, but for a few seconds at the end.
"""

import http.client
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.events import (
    Event,
    Failed,
    Finished,
    Progress,
    Restarted,
    Searched,
    Searching,
    Stopped,
    read,
    warn,
)
from orchestrator.typed_json import Values
from orchestrator.wording import describe, duration

OCCASIONS: dict[type[Event], str] = {
    Finished: "finished",
    Searched: "finished",
    Failed: "failed",
    Stopped: "stopped",
    Restarted: "restarted",
}
LOOK_SECONDS = 1.0
TRIES = 5
"""How often a post is tried, a second after the first try and twice as long after each further."""
ANSWER_SECONDS = 10.0
END_SECONDS = 20.0
"""For how long the end of the job waits for the last posts."""
SHORTEST_STALL = 60.0
"""No run is stalled before it was silent for so many seconds."""
RESTART_STALL = 300.0
"""The same of one that has lost processes, and may wait for room."""


@dataclass(frozen=True)
class Wanted:
    """What the notify section of a job asks for, as plain values."""

    url: str
    on: frozenset[str]
    stalled_after: float

    @classmethod
    def of(cls, job: Values) -> "Wanted | None":
        """Return what a job asks for; None if nothing, with a warning if the address is missing."""
        given = job.get("notify")
        if not given:
            return None
        if not (url := os.environ.get(given["webhook"])):
            warn(
                f"notify.webhook: {given['webhook']} is not set where the driver runs; nobody is "
                "notified. Set it where the cluster's nodes are started."
            )
            return None
        return cls(url, frozenset(given["on"]), float(given["stalled_after"]))


class Notifier:
    """A thread that follows a run's events and posts those that are wanted."""

    def __init__(self, run: str, wanted: Wanted, events: Path) -> None:
        self._run, self._wanted, self._events = run, wanted, events
        self._mark = 0
        self._silent_since: float | None = None
        self._patience = 0.0
        self._told_stall = False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="notifier", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Post what has happened to the end; give up after END_SECONDS."""
        self._ending.set()
        self._thread.join(END_SECONDS)

    def _work(self) -> None:
        ended = False
        while not ended:
            ended = self._ending.wait(LOOK_SECONDS)
            for event in self._new():
                self._take(event)
            if not ended:
                self._look_for_stall()

    def _new(self) -> list[Event]:
        """Return the events of whole lines that are new."""
        try:
            with self._events.open("rb") as file:
                file.seek(self._mark)
                content = file.read()
        except OSError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._mark += len(whole)
        found = map(read, whole.decode(errors="replace").splitlines())
        return [event for event in found if event and event.trial is None]

    def _take(self, event: Event) -> None:
        if isinstance(event, Progress | Searching):
            self._silent_since, self._told_stall = event.time, False
            self._patience = max(self._wanted.stalled_after * event.next_within, SHORTEST_STALL)
        elif occasion := OCCASIONS.get(type(event)):
            goes_on = isinstance(event, Restarted)
            self._silent_since, self._told_stall = event.time if goes_on else None, False
            self._patience = max(self._patience, RESTART_STALL)
            self._tell(occasion, "\n".join(describe(event)))

    def _look_for_stall(self) -> None:
        if self._silent_since is None or self._told_stall:
            return
        silent = time.time() - self._silent_since
        if silent > self._patience:
            self._told_stall = True
            self._tell("stalled", f"No progress for {duration(silent)}: orch stacks {self._run}")

    def _tell(self, occasion: str, text: str) -> None:
        if occasion in self._wanted.on:
            said = {"run": self._run, "event": occasion, "message": text}
            post(self._wanted.url, {"text": f"{self._run} {occasion}\n{text}", **said})


def post(url: str, document: dict[str, str], wait: Callable[[float], None] = time.sleep) -> None:
    """Post a JSON document, several times if need be; a warning says that it was in vain.

    The address is in no message: who knows it can post.
    """
    data = json.dumps(document).encode()
    reason = ""
    for number in range(TRIES):
        if number:
            wait(2.0 ** (number - 1))
        try:
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(url, data, headers)
            urllib.request.urlopen(request, timeout=ANSWER_SECONDS).close()
            return
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code}"
            error.close()
        except OSError as error:
            reason = getattr(error, "strerror", None) or "no answer"
        except (ValueError, http.client.HTTPException):
            reason = "it is no URL, or what answers there does not speak HTTP"
    warn(f"The webhook did not take the news that {document['run']} {document['event']}: {reason}.")
