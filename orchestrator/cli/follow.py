"""Follow a job to its end: display it, record how it ended, and stop an idle local head."""

import time
from collections.abc import Iterator
from typing import TypeVar

from orchestrator.cli.links import link_lines
from orchestrator.cli.live import screen
from orchestrator.cli.output import answer, say
from orchestrator.cli.summary import conclusion, was_killed, ways_on
from orchestrator.cluster import local, tail
from orchestrator.events import Event
from orchestrator.run_facts import RunFacts
from orchestrator.runs import view
from orchestrator.runs.delay import Delay
from orchestrator.runs.registry import Record
from orchestrator.runs.told import facts_of
from orchestrator.runs.view import RunView
from orchestrator.state import State, exit_code

T = TypeVar("T")

LOG_LINES = 30
"""How many lines of the log are printed when a job failed without a reason."""


def follow(record: Record) -> RunView:
    """Display a job on standard error until it ends. An interruption leaves the job running."""
    client = view.client_of(record)
    if client is None:
        return view.look(record)
    facts = RunFacts()
    submission_id = record.last.submission_id
    try:
        with screen() as shown:
            heard = time.monotonic()
            delay = Delay(record, client)
            for look in looks(record, tail.JobEvents(client, submission_id)):
                heard = time.monotonic() if look.new else heard
                facts = facts.after(*look.new)
                for event in (event for event in look.new if event.trial is None):
                    shown.event(event)
                shown.state(*_state(look, delay, facts, time.monotonic() - heard))
    except KeyboardInterrupt:
        say(f"\n{record.run} continues without you: {ways_on(record.run)}")
        raise
    if look.trouble:
        return view.look(record)
    known = facts if facts != RunFacts() else facts_of(record)
    if look.info is None:
        return view.settle(view.forgotten(record, known))
    state = look.info.state
    if state is State.FAILED and not facts.failed and not was_killed(look.info):
        say("The end of the job's log:")
        for line in client.logs(submission_id).splitlines()[-LOG_LINES:]:
            say(f"  {line}")
    end = (look.info.exit_code, look.info.message, look.info.ended)
    ended = RunView(record, state, known, "", *end)
    return view.settle(view.by_results(ended))


def looks(record: Record, reader: tail.Reader[T]) -> Iterator[tail.Look[T]]:
    """Look at a job until it has ended, or the local head that it ran on is gone.

    The last look has a trouble then, and `view.look` says how the job ended. Another head may have
    taken the place of that one, even its port. Raises Unreachable as `tail.follow` does.
    """
    head = local.running() if record.local else None
    for look in tail.follow(reader):
        yield look
        if look.trouble and record.local and (head is None or local.running() != head):
            return


def conclude(ended: RunView, *, quiet: bool = False) -> int:
    """Print how a run ended, and return the exit code."""
    if not quiet:
        for line in [*conclusion(ended), "", *link_lines(ended)]:
            answer(line)
    return exit_code(ended.state, ended.exit_code)


def tidy(record: Record) -> None:
    """Stop the local head if no job is active on it, and record before how each of its jobs ended.

    Call it once the last run that the user asked for is concluded.
    """
    if not record.local:
        return
    view.settle_jobs_of_head()
    if local.release():
        say("No other job is active, the local Ray cluster was stopped.")


def _state(
    look: tail.Look[Event], delay: Delay, facts: RunFacts, silent: float
) -> tuple[State, str]:
    """Return a job's state and the present trouble of the cluster or of the job, if any."""
    state = look.info.state if look.info else State.LOST
    if look.trouble or state is not State.RUNNING:
        return state, look.trouble
    return state, delay.sentence(facts, silent)
