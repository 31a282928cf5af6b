"""The events of a run as sentences: for the job's log, and for those who follow it elsewhere."""

import time
from collections.abc import Mapping, Sequence

from orchestrator.event_parts import TrialRow
from orchestrator.events import (
    Arithmetic,
    Awaiting,
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
from orchestrator.job.short_names import short_names
from orchestrator.typed_json import Values

MOST_NAMES = 3
"""How many layers a line names."""
NOTED_SHARE = 0.05
"""The share of time spent waiting for batches from which on a line says so."""


def describe(event: Event) -> list[str]:
    """Return an event as lines for a person; those of a trial begin with it."""
    begin = f"{event.trial}  " if event.trial else ""
    return [begin + line for line in _lines(event)]


def _lines(event: Event) -> list[str]:
    match event:
        case Started() | Recorded():
            return _where(event)
        case Arithmetic():
            return [f"Arithmetic: {arithmetic_line(event)}"]
        case Progress():
            return [progress_line(event)]
        case Evaluated():
            results = f"{event.metric_name} {by_point(event.metric)}"
            return [f"{_phase(event)}epoch {event.epoch + 1}: {results}"]
        case Restarted():
            return [f"warning: {event.reason} The run is restarted ({event.count})."]
        case Log():
            return [f"{event.level}: {event.message}"]
        case Searching() | TrialEnded():
            return [search_line(event)]
        case Finished() | Searched():
            return event.table.splitlines()
        case Awaiting() | Failed() | Stopped():
            return [event.message]
        case _:
            return []


def _where(event: Started | Recorded) -> list[str]:
    """Return where a run is, and how a person opens its record."""
    run = [f"Run {event.run} in {event.run_dir}"] if isinstance(event, Started) else []
    record = event.mlflow
    places = (record.command, record.link) if record else ()
    return [*run, *(f"MLflow: {where}" for where in places if where)]


def arithmetic_line(how: Arithmetic) -> str:
    """Return how a run computes, why so, and what is left out, in one line."""
    line = f"{arithmetic_phrase(how)}; {how.reason}"
    if how.kind == "float" or not how.layers:
        return line
    line += f"; {how.layers - len(how.in_floats)} of {how.layers} quantized layers in integers"
    return f"{line}, not {_few(how.in_floats)}" if how.in_floats else line


def arithmetic_phrase(how: Arithmetic) -> str:
    """Return how a run computes: "integer (int8), backward in float32"."""
    by = f" ({how.kernel})" if how.kernel else ""
    return f"{how.kind}{by}, backward in {how.backward}"


def _few(names: Sequence[str]) -> str:
    """Return names as a list, or the first of them and how many there are more."""
    rest = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def waiting_for_data(at: Progress) -> list[str]:
    """Return the share of time that is spent waiting for batches, where that is worth a word."""
    share = at.data_share
    return [f"{share:.0%} waiting for data"] if share and share >= NOTED_SHARE else []


def progress_line(at: Progress) -> str:
    """Return the progress of a run, in one line."""
    parts = [
        f"{_phase(at)}epoch {at.epoch + 1}/{at.epochs}",
        f"step {at.step}/{at.steps}",
        *([f"{at.share_done:.0%} done"] if at.share_done is not None else []),
        f"{at.samples_per_second:.1f} samples/s",
        *waiting_for_data(at),
        f"ETA {duration(at.eta_seconds)}",
    ]
    if at.loss:
        parts.append(f"loss {by_point(at.loss, digits=3)}")
    if at.metric:
        parts.append(f"{at.metric_name} {by_point(at.metric)}")
    return "  ".join(parts)


def search_line(at: Searching | TrialEnded) -> str:
    """Return how far a search is, or how one of its trials ended, in one line."""
    if isinstance(at, TrialEnded):
        return trial_line(at.row, at.metric, at.epochs)
    counted = ", ".join(f"{count} {state}" for state, count in at.ended.items())
    done = f"{sum(at.ended.values())}/{at.trials} trials done"
    parts = [done + (f" ({counted})" if counted else "")]
    if at.living:
        parts.append(f"{len(at.living)} running")
    if at.best and at.best.value is not None:
        best = at.best
        parts.append(
            f"best {at.metric} {best.value:.2f} ({best.trial}: {settings_line(best.settings)})"
        )
    if at.eta_seconds is not None:
        parts.append(f"ETA {duration(at.eta_seconds)}")
    return ", ".join(parts)


def trial_line(row: TrialRow, metric: str, epochs: int) -> str:
    """Return a trial in one line: "t007 finished  epoch 9/9  delta_b 98.31  lambda 0.002"."""
    parts = [f"{row.trial} {row.state}", f"epoch {row.epoch}/{epochs}"]
    if row.value is not None:
        spread = f" (spread {row.spread:.2f})" if row.spread is not None else ""
        parts.append(f"{metric} {row.value:.2f}{spread}")
    return "  ".join([*parts, settings_line(row.settings), *([row.reason] if row.reason else [])])


def settings_line(settings: Values) -> str:
    """Return settings as "lambda 0.002, p1 0.7", with as much of each key as tells it apart."""
    names = short_names(settings)
    return ", ".join(f"{names[key]} {shown(value)}" for key, value in settings.items())


def shown(value: object) -> str:
    """Return a setting's value: four digits of a float, anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _phase(at: Progress | Evaluated) -> str:
    """Return "phase 2/3 ", or nothing for a run of one phase."""
    return f"phase {at.phase + 1}/{at.phases} " if at.phases > 1 else ""


def by_point(values: Mapping[str, float | None], digits: int = 1) -> str:
    """Return "8bit 91.2, 2bit 80.0", in the order of the values."""
    texts = ((p, "-" if value is None else f"{value:.{digits}f}") for p, value in values.items())
    return ", ".join(f"{point} {text}" for point, text in texts)


def clock(seconds: float) -> str:
    """Return a time since 1970 as local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def duration(seconds: float | None) -> str:
    """Return a time span in short form: "45s", "3m20s", "2h05m", "3d04h"."""
    if seconds is None or seconds != seconds or seconds < 0:
        return "-"
    whole = round(min(seconds, 1e9))
    minutes, rest = divmod(whole, 60)
    hours, minutes_rest = divmod(minutes, 60)
    days, hours_rest = divmod(hours, 24)
    if days:
        return f"{days}d{hours_rest:02d}h"
    if hours:
        return f"{hours}h{minutes_rest:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
