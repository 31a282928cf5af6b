"""What a webhook hears of a run: a real server that takes posts, or refuses some first."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orchestrator.events import Event, Failed, Restarted, Stopped, to_json
from orchestrator.train import notifier
from orchestrator.train.notifier import Notifier, Wanted, post
from tests.orchestrator.statements import EVALUATED, FINISHED, PROGRESS

FAILED = Failed(message="No room.", exit_code=1)
EVERYTHING = frozenset({"finished", "failed", "stopped", "restarted", "stalled"})


class Webhook(ThreadingHTTPServer):
    """Keeps what is posted. refusals: the codes of its first answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.posted: list[dict[str, str]] = []
        self.refusals: list[int] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/secret-place"


class _Post(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        code = self.server.refusals.pop(0) if self.server.refusals else 200
        if code == 200:
            self.server.posted.append(body)
        self.server.may_answer.wait(60)
        self.send_response(code)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.may_answer.set()
        server.shutdown()


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifier, "LOOK_SECONDS", 0.02)


def write(file: Path, *events: Event) -> None:
    with file.open("a") as lines:
        lines.writelines(to_json(event) + "\n" for event in events)


def told(
    webhook: Webhook, *events: Event, file: Path, on: frozenset[str] = EVERYTHING
) -> list[str]:
    """Return of which events a webhook has heard when the job has ended."""
    follower = Notifier("mine", Wanted(webhook.url, on, 10.0), file)
    write(file, *events)
    follower.finish()
    return [said["event"] for said in webhook.posted]


def test_it_hears_of_losses_and_of_the_end(webhook: Webhook, tmp_path: Path) -> None:
    lost = Restarted(count=1, reason="The process of rank 1 was killed.")
    trial = replace(FINISHED, trial="t001")
    events = (PROGRESS, EVALUATED, lost, trial, FINISHED)
    assert told(webhook, *events, file=tmp_path / "events") == ["restarted", "finished"]
    first = webhook.posted[0]
    assert first["run"] == "mine"
    assert "The process of rank 1 was killed." in first["message"]
    assert first["text"].startswith("mine restarted\n")


@pytest.mark.parametrize(
    ("event", "word"),
    [(FAILED, "failed"), (Stopped(message="Asked."), "stopped")],
)
def test_it_hears_only_of_what_is_wanted(
    webhook: Webhook, tmp_path: Path, event: Event, word: str
) -> None:
    assert told(webhook, event, file=tmp_path / "a", on=EVERYTHING - {word}) == []
    assert told(webhook, event, file=tmp_path / "b", on=frozenset({word})) == [word]


def test_a_stall_is_told_once_until_there_is_progress_again(
    webhook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "SHORTEST_STALL", 0.0)
    file = tmp_path / "events"
    follower = Notifier("mine", Wanted(webhook.url, EVERYTHING, 3.0), file)
    for _ in range(2):
        write(file, replace(PROGRESS, time=time.time(), next_within=0.1))
        time.sleep(0.15)
        heard = len(webhook.posted)
        end = time.monotonic() + 10
        while len(webhook.posted) == heard:
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(0.3)
    follower.finish()
    assert [said["event"] for said in webhook.posted] == ["stalled", "stalled"]
    assert "orch stacks mine" in webhook.posted[0]["message"]


def test_a_run_that_does_not_come_back_after_a_loss_is_stalled(
    webhook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "SHORTEST_STALL", 0.0)
    monkeypatch.setattr(notifier, "RESTART_STALL", 0.2)
    file = tmp_path / "events"
    follower = Notifier("mine", Wanted(webhook.url, frozenset({"stalled"}), 0.1), file)
    write(file, replace(PROGRESS, time=time.time(), next_within=100.0))
    write(file, Restarted(count=1, reason="Rank 1 died.", time=time.time() - 8.0))
    time.sleep(0.2)
    assert webhook.posted == []  # ten seconds are the patience of the progress before
    write(file, Restarted(count=2, reason="Rank 1 died.", time=time.time() - 11.0))
    end = time.monotonic() + 10
    while not webhook.posted:
        assert time.monotonic() < end
        time.sleep(0.01)
    follower.finish()
    assert [said["event"] for said in webhook.posted] == ["stalled"]


def test_a_post_is_tried_again_with_longer_pauses(webhook: Webhook) -> None:
    webhook.refusals = [500, 503, 429]
    pauses: list[float] = []
    assert post(webhook.url, {"run": "mine", "event": "failed"}, pauses.append) == ""
    assert len(webhook.posted) == 1
    assert pauses == [1, 2, 4]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_does_not_take_a_post(webhook: Webhook, code: int) -> None:
    webhook.refusals = [code] * notifier.TRIES
    assert post(webhook.url, {"run": "mine"}, lambda _: None) == f"HTTP {code}"


@pytest.mark.parametrize(
    "url", ["file:{}", "data:,secret-place", "ftp://x/secret-place", "http://"]
)
def test_only_http_takes_posts_and_any_other_address_is_a_warning(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret-place").touch()
    url = url.format(tmp_path / "secret-place")
    assert "begins with http:// or https://" in post(url, {"run": "mine"})
    monkeypatch.setenv("ORCH_WEBHOOK_TEAM", url)
    job = {"notify": {"webhook": "ORCH_WEBHOOK_TEAM", "on": ["failed"], "stalled_after": 4}}
    assert Wanted.of(job) is None
    printed = capsys.readouterr().out
    assert "ORCH_WEBHOOK_TEAM is no address that begins with http://" in printed
    assert "secret-place" not in printed


def test_the_last_post_does_not_wait_for_one_that_is_never_answered(
    webhook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("END_SECONDS", 1.5), ("ORDER_SECONDS", 0.2), ("ANSWER_SECONDS", 9.0)):
        monkeypatch.setattr(notifier, name, seconds)
    webhook.may_answer.clear()
    file = tmp_path / "events"
    follower = Notifier("mine", Wanted(webhook.url, EVERYTHING, 10.0), file)
    write(file, Restarted(count=1, reason="Rank 1 died."))
    end = time.monotonic() + 10
    while not webhook.posted:
        assert time.monotonic() < end
        time.sleep(0.01)
    write(file, FAILED)
    began = time.monotonic()
    told = follower.finish()
    assert time.monotonic() - began < 3
    assert [said["event"] for said in webhook.posted] == ["restarted", "failed"]
    assert told == [
        f"The webhook did not take the news that mine {what}: no answer."
        for what in ("restarted", "failed")
    ]


def test_the_last_post_is_tried_again_and_those_before_it_are_not(
    webhook: Webhook, tmp_path: Path
) -> None:
    webhook.refusals = [503, 503]
    lost = Restarted(count=1, reason="Rank 1 died.")
    follower = Notifier("mine", Wanted(webhook.url, EVERYTHING, 10.0), tmp_path / "events")
    write(tmp_path / "events", lost, FAILED)
    assert follower.finish() == ["The webhook did not take the news that mine restarted: HTTP 503."]
    assert [said["event"] for said in webhook.posted] == ["failed"]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/secret-place",
        "secret-place",
        "http://[secret-place",
        "http://127.0.0.1:9/secret-place b",
    ],
)
def test_a_post_in_vain_is_a_warning_without_the_address(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "END_SECONDS", 0.3)
    follower = Notifier("mine", Wanted(url, EVERYTHING, 10.0), tmp_path / "events")
    write(tmp_path / "events", FAILED)
    [said] = follower.finish()
    assert "The webhook did not take the news that mine failed" in said
    assert "secret-place" not in said


def test_a_post_in_vain_is_a_warning_at_once_while_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(notifier, "TRIES", 1)
    wanted = Wanted("http://127.0.0.1:9/secret-place", EVERYTHING, 10.0)
    follower = Notifier("mine", wanted, tmp_path / "events")
    write(tmp_path / "events", Restarted(count=1, reason="Rank 1 died."))
    end, said = time.monotonic() + 10, ""
    while "the news that mine restarted: " not in said:
        assert time.monotonic() < end
        said += capsys.readouterr().out
        time.sleep(0.01)
    assert follower.finish() == []
    assert "secret-place" not in said


def test_a_variable_that_is_not_set_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = {"notify": {"webhook": "ORCH_WEBHOOK_TEAM", "on": ["failed"], "stalled_after": 4}}
    assert Wanted.of(job) is None
    assert "ORCH_WEBHOOK_TEAM is not set" in capsys.readouterr().out
    monkeypatch.setenv("ORCH_WEBHOOK_TEAM", "http://x")
    assert Wanted.of(job) == Wanted("http://x", frozenset({"failed"}), 4.0)
    assert Wanted.of({}) is None
