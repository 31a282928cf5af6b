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
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
ORDER_SECONDS = 3.0
"""How long a post then waits for the one before it."""
SHORTEST_STALL = 60.0
"""No run is stalled before it was silent for so many seconds."""
NO_WEBHOOK = "no address that begins with http:// or https://"
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
        """Return what a job asks for; None if nothing, with a warning if there is no address."""
        given = job.get("notify")
        if not given:
            return None
        if not (url := os.environ.get(given["webhook"])):
            warn(
                f"notify.webhook: {given['webhook']} is not set where the driver runs; nobody is "
                "notified. Set it where the cluster's nodes are started."
            )
            return None
        if not is_webhook(url):
            warn(f"notify.webhook: {given['webhook']} is {NO_WEBHOOK}; nobody is notified.")
            return None
        return cls(url, frozenset(given["on"]), float(given["stalled_after"]))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Lets a redirect be an answer as any other: urllib would ask there, without the document."""

    def redirect_request(self, *_: object) -> None:
        """Return no request."""


class _News:
    """What is posted. over: it has arrived, or is given up. trouble: why it has not arrived."""

    def __init__(self, document: dict[str, str]) -> None:
        self.document = document
        self.over = threading.Event()
        self.trouble = "no answer"
        self.told = False

    def in_vain(self) -> str:
        """Say that it has not arrived, without the address: who knows it can post."""
        what = f"{self.document['run']} {self.document['event']}"
        return f"The webhook did not take the news that {what}: {self.trouble}."


class Notifier:
    """A thread that follows a run's events, and threads that post those that are wanted.

    A post begins when the one before it is over; but at the end none waits for long.
    """

    def __init__(self, run: str, wanted: Wanted, events: Path) -> None:
        self._run, self._wanted, self._events = run, wanted, events
        self._mark = 0
        self._silent_since: float | None = None
        self._patience = 0.0
        self._told_stall = False
        self._news: list[_News] = []
        self._ending, self._ends_at = threading.Event(), float("inf")
        self._thread = threading.Thread(target=self._work, name="notifier", daemon=True)
        self._thread.start()

    def finish(self) -> list[str]:
        """Post what has happened to the end; return a sentence for each post that did not arrive.

        It takes at most END_SECONDS. In that time the last post is tried again and again, whatever
        becomes of those before it; they are tried once, if they were not yet.
        """
        self._ends_at = time.monotonic() + END_SECONDS
        self._ending.set()
        self._thread.join(END_SECONDS)
        for news in self._news:
            news.over.wait(max(self._ends_at - time.monotonic(), 0.0))
        return [news.in_vain() for news in self._news if news.trouble and not news.told]

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
            news = _News({"text": f"{self._run} {occasion}\n{text}", **said})
            before = self._news[-1] if self._news else None
            self._news.append(news)
            threading.Thread(target=self._post, args=(news, before), daemon=True).start()

    # --- In a thread of each post -----------------------------------------------------------------

    def _post(self, news: _News, before: _News | None) -> None:
        while before and not before.over.wait(LOOK_SECONDS):
            if time.monotonic() > self._ends_at - END_SECONDS + ORDER_SECONDS:
                break
        wait, allowed = partial(self._pause, news), partial(self._allowed, news)
        news.trouble = post(self._wanted.url, news.document, wait, allowed)
        if news.trouble and not self._ending.is_set():
            news.told = True
            warn(news.in_vain())
        news.over.set()

    def _allowed(self, news: _News, tries: int) -> float:
        """Return for how many seconds a post may be tried after so many tries; 0 for no more."""
        if not self._ending.is_set():
            return ANSWER_SECONDS
        if tries and news is not self._news[-1]:
            return 0.0
        return min(ANSWER_SECONDS, self._ends_at - time.monotonic())

    def _pause(self, news: _News, seconds: float) -> None:
        if not self._ending.is_set():
            self._ending.wait(seconds)
        elif news is self._news[-1]:
            time.sleep(max(min(seconds, self._ends_at - time.monotonic()), 0.0))


def is_webhook(url: str) -> bool:
    """Return whether something can be posted to a URL: it is one of HTTP, and names a host."""
    try:
        parts = urllib.parse.urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def post(
    url: str,
    document: dict[str, str],
    wait: Callable[[float], None] = time.sleep,
    allowed: Callable[[int], float] = lambda _: ANSWER_SECONDS,
) -> str:
    """Post a JSON document, several times if need be; return why that was in vain, or nothing.

    allowed: for how many seconds it may be tried after so many tries; 0 for no more.
    """
    if not is_webhook(url):
        return f"it has {NO_WEBHOOK}"
    data, opener = json.dumps(document).encode(), urllib.request.build_opener(_NoRedirect)
    reason = "no answer"
    for number in range(TRIES):
        if number:
            wait(2.0 ** (number - 1))
        if (seconds := allowed(number)) <= 0:
            break
        try:
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(url, data, headers)
            opener.open(request, timeout=seconds).close()
            return ""
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code}"
            error.close()
        except OSError as error:
            reason = getattr(error, "strerror", None) or "no answer"
        except (ValueError, http.client.HTTPException):
            reason = "it is no URL, or what answers there does not speak HTTP"
    return reason
