"""Report the progress of a run, from rank 0: every second at first, less often later."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context

from orchestrator import events
from orchestrator.run_facts import Events
from orchestrator.store.run_folder import Reached
from orchestrator.track.result import Result
from orchestrator.train.tally import Tally

SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 30.0
"""Limits of the time between two events, which is a hundredth of the time so far: the log of a long
run stays small."""


class Progress:
    """Says `progress` and `evaluated` events.

    epochs: of each phase. steps: of each epoch.
    """

    def __init__(self, run_events: Events, epochs: Sequence[int], steps: int) -> None:
        self._events = run_events
        self._epochs = tuple(epochs)
        self._steps = steps
        self._last_said = 0.0
        self._started: tuple[float, int] | None = None
        self._metric: tuple[str, dict[str, float]] | None = None
        self._named: set[str] = set()
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="progress")
        self._saying: Future[object] | None = None

    def tell(self, at: Reached, tally: Tally) -> None:
        """Report the progress, unless that was done just now."""
        now = time.monotonic()
        position = (sum(self._epochs[: at.phase]) + at.epoch) * self._steps + at.step
        if self._started is None:
            self._started = (now, position)
            self._last_said = now
        start, first = self._started
        interval = min(LONGEST_SECONDS, max(SHORTEST_SECONDS, (now - start) / 100))
        if now - self._last_said < interval and at.step < self._steps:
            return
        self._last_said = now
        measured = (now - start) / (position - first) if position > first else None
        seconds_per_step = measured or 0.0
        remaining = sum(self._epochs) * self._steps - position
        self._say_beside(
            events.Progress(
                next_within=max(interval, seconds_per_step),
                phase=at.phase,
                phases=len(self._epochs),
                epoch=at.epoch,
                epochs=self._epochs[at.phase],
                step=at.step,
                steps=self._steps,
                samples_per_second=tally.samples / max(tally.seconds, 1e-9),
                data_share=tally.data_share,
                eta_seconds=0.0 if not remaining else measured and remaining * measured,
                step_seconds=measured,
                share_done=position / (sum(self._epochs) * self._steps),
                loss={**tally.local_losses()},
                metric_name=self._metric[0] if self._metric else None,
                metric={**self._metric[1]} if self._metric else {},
            ),
            wait=at.step == self._steps,
        )

    def evaluated(
        self, at: Reached, result: Result, losses: dict[str, float], broken: dict[str, str]
    ) -> None:
        """Report the results of an epoch. broken: the samples that the evaluation left out."""
        self._metric = (result.metric_name, result.metric)
        self.settle()
        self._events.say(
            events.Evaluated(
                phase=at.phase,
                phases=len(self._epochs),
                epoch=min(at.epoch, self._epochs[at.phase] - 1),  # -1 where nothing is trained
                epochs=self._epochs[at.phase],
                metric_name=result.metric_name,
                metric={**result.metric},
                loss={**losses},
            )
        )
        for source, reason in self.new_broken(broken):
            events.warn(f"Left out of the evaluation {source}: {reason}")

    def settle(self) -> None:
        """Wait until all is said."""
        if self._saying:
            self._saying.result()

    def _say_beside(self, event: events.Progress, *, wait: bool) -> None:
        """Say it in a thread: training does not wait for a disk. What comes too soon is left out.

        wait: because processes are forked next, which takes no threads along.
        """
        if self._saying is None or self._saying.done() or wait:
            self.settle()
            self._saying = self._beside.submit(copy_context().run, self._events.say, event)
        if wait:
            self.settle()

    def new_broken(self, broken: dict[str, str]) -> list[tuple[str, str]]:
        """Return the broken samples that were not named before."""
        new = [(source, reason) for source, reason in broken.items() if source not in self._named]
        self._named |= broken.keys()
        return new
