"""What Prometheus hears of a run, on the metrics endpoint of its driver's node.

Ray puts `ray_` before each name. All gauges have the tag `run`; some have `point`, the operating
point.
"""

import time
from collections.abc import Mapping

from orchestrator.errors import OrchError
from orchestrator.events import Evaluated, Event, Progress, Restarted
from orchestrator.store.run_folder import Reached, RunFolder

GAUGES = {
    "orch_step_seconds": "time of an optimizer step",
    "orch_samples_per_second": "training speed of all workers together",
    "orch_data_share": "part of the epoch's time in which rank 0 waited for batches, 0 to 1",
    "orch_share_done": "part of the run that is done, 0 to 1",
    "orch_loss": "mean training loss of the epoch so far",
    "orch_metric_percent": "metric of the last evaluation",
    "orch_checkpoint_timestamp_seconds": "when a new checkpoint was last seen, since 1970",
    "orch_restarts": "how often processes were lost and started again, in this attempt",
}
"""Each gauge, and what it says."""
BY_POINT = frozenset({"orch_loss", "orch_metric_percent"})

LOOK_SECONDS = 15.0
"""How often the run's folder is asked for its newest checkpoint, at most."""


class Gauges:
    """Sets the gauges of one run by its events. The process must be connected to Ray."""

    def __init__(self, folder: RunFolder) -> None:
        from ray.util.metrics import Gauge

        self._folder = folder
        self._gauges = {
            name: Gauge(name, about, ("run", "point") if name in BY_POINT else ("run",))
            for name, about in GAUGES.items()
        }
        self._newest: Reached | None = None
        self._looked = float("-inf")

    def hear(self, event: Event) -> None:
        """Set what an event says; those of a search's trials say nothing of the run itself."""
        if event.trial is not None:
            return
        match event:
            case Progress():
                self._set("orch_samples_per_second", event.samples_per_second)
                self._set("orch_data_share", event.data_share)
                self._set("orch_share_done", event.share_done)
                self._set("orch_step_seconds", event.step_seconds)
                self._set_each("orch_loss", event.loss)
                self._look_for_checkpoint()
            case Evaluated():
                self._set_each("orch_metric_percent", event.metric)
            case Restarted():
                self._set("orch_restarts", event.count)

    def _look_for_checkpoint(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        try:
            newest = self._folder.newest()
        except (OSError, OrchError):
            return
        if newest != self._newest:
            self._newest = newest
            self._set("orch_checkpoint_timestamp_seconds", time.time())

    def _set(self, name: str, value: float | None, **tags: str) -> None:
        if value is not None:
            self._gauges[name].set(value, {"run": self._folder.name, **tags})

    def _set_each(self, name: str, values: Mapping[str, float | None]) -> None:
        for point, value in values.items():
            self._set(name, value, point=point)
