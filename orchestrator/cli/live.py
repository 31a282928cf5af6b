"""A followed job on the screen: bars on a terminal, plain lines elsewhere."""

import re
import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from orchestrator.cli.output import console, moves, say
from orchestrator.events import (
    Arithmetic,
    Evaluated,
    Event,
    Failed,
    Finished,
    Log,
    Progress,
    Recorded,
    Restarted,
    Searched,
    Searching,
    Started,
    Stopped,
    TrialEnded,
)
from orchestrator.state import State
from orchestrator.wording import (
    by_point,
    describe,
    duration,
    search_line,
    trial_line,
    waiting_for_data,
)

if TYPE_CHECKING:
    from rich.console import Group
    from rich.progress import Progress as Bars

PLAIN_SECONDS = 5.0
"""Progress in plain lines is printed at most this often."""

LASTING = Started | Recorded | Arithmetic | Log | Evaluated | Restarted | TrialEnded
"""The events that stay on a terminal, above the bars."""


class Screen(Protocol):
    """Where a followed job is displayed."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def event(self, event: Event) -> None:
        """Display an event of the job."""

    def state(self, state: State, trouble: str) -> None:
        """Display the job's state on the cluster, or why the cluster does not answer."""


_SPAN = re.compile(r"\b(?:\d+[dhms])+\b")
"""A time span; a sentence that differs only in it is not printed again."""


class PlainScreen:
    """Lines: the states, each evaluation, and the progress every few seconds."""

    def __init__(self) -> None:
        self._printed = 0.0
        self._state = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to close."""

    def event(self, event: Event) -> None:
        """Print an event; the final ones are printed by the caller."""
        if isinstance(event, Finished | Failed | Stopped | Searched):
            return
        now = time.monotonic()
        if isinstance(event, Progress | Searching):
            if now - self._printed < PLAIN_SECONDS:
                return
            self._printed = now
        for line in describe(event):
            say(line)

    def state(self, state: State, trouble: str) -> None:
        """Print a state when it changes."""
        text = trouble or {State.PENDING: "Waiting to start ..."}.get(state, "")
        kind = _SPAN.sub("", text)
        if kind != self._state and text:
            say(text)
        self._state = kind


class LiveScreen:
    """Bars for epochs and steps, the speed, the ETA, and the last metric of each bit-width."""

    def __init__(self) -> None:
        from rich.live import Live

        self._progress: Progress | None = None
        self._evaluated: Evaluated | None = None
        self._searching: Searching | None = None
        self._status = "Waiting to start ..."
        self._late = False
        self._live = Live(console=console(err=True), auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the bars, so that the answer stands alone."""
        self._live.stop()

    def event(self, event: Event) -> None:
        """Update what the bars display; print what should stay."""
        if isinstance(event, Progress):
            self._progress = event
        elif isinstance(event, Evaluated):
            self._evaluated = event
        elif isinstance(event, Searching):
            self._searching = event
        if isinstance(event, LASTING):
            for line in describe(event):
                self._live.console.print(line, markup=False, soft_wrap=True)

    def state(self, state: State, trouble: str) -> None:
        """Redraw everything."""
        waiting = {State.PENDING: "Waiting to start ...", State.RUNNING: "Starting workers ..."}
        self._late = bool(trouble)
        begun = self._progress or self._searching
        self._status = trouble or ("" if begun else waiting.get(state, str(state)))
        self._live.update(self._drawn(), refresh=True)

    def _drawn(self) -> "Group":
        from rich.console import Group, RenderableType
        from rich.text import Text

        parts: list[RenderableType] = [Text(self._status, style="yellow")] * bool(self._status)
        if self._searching:
            parts += [_search_bars(self._searching), *map(Text, _search_lines(self._searching))]
        if self._progress:
            parts.append(_progress_bars(self._progress))
            parts += [] if self._late else [Text(_speed(self._progress))]
        if self._evaluated:
            results = f"{self._evaluated.metric_name}: {by_point(self._evaluated.metric)}"
            parts.append(Text(results, style="bold"))
        return Group(*parts)


def screen() -> Screen:
    """Return the right screen for standard error."""
    return LiveScreen() if moves(console(err=True)) else PlainScreen()


def _bars(parts: dict[str, tuple[int, int]]) -> "Bars":
    """Return a bar for each part: how many are done, and of how many."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    bars = Bars(TextColumn("{task.description:<6}"), BarColumn(40), MofNCompleteColumn())
    for what, (done, total) in parts.items():
        bars.add_task(what, total=total, completed=done)
    return bars


def _progress_bars(at: Progress) -> "Bars":
    phase = {"phase": (at.phase, at.phases)} if at.phases > 1 else {}
    return _bars(phase | {"epoch": (at.epoch, at.epochs), "step": (at.step, at.steps)})


def _search_bars(at: Searching) -> "Bars":
    trials = sum(at.ended.values()), at.trials
    return _bars({"trial": trials, "epoch": (at.epochs_done, at.epochs_planned)})


def _search_lines(at: Searching) -> list[str]:
    return [search_line(at), *(f"  {trial_line(row, at.metric, at.epochs)}" for row in at.living)]


def _speed(at: Progress) -> str:
    parts = [
        f"{at.samples_per_second:.1f} samples/s",
        *waiting_for_data(at),
        f"ETA {duration(at.eta_seconds)}",
        *([f"loss {by_point(at.loss, digits=3)}"] if at.loss else []),
    ]
    return "   ".join(parts)
