"""The events of a run as sentences: for the job's log, and for whoever follows it elsewhere."""

import time
from collections.abc import Mapping
from typing import Any

Event = dict[str, Any]


def describe(event: Event) -> list[str]:
    """Return the lines that tell an event to a person."""
    match event["event"]:
        case "started":
            opened = [event[key] for key in ("mlflow_command", "mlflow_link") if event[key]]
            places = [f"MLflow: {where}" for where in opened]
            return [f"Run {event['run']} in {event['run_dir']}", *places]
        case "progress":
            return [progress_line(event)]
        case "evaluated":
            name = event["metric_name"]
            return [f"epoch {event['epoch'] + 1}: {name} {by_point(event['metric'])}"]
        case "restarted":
            return [f"warning: {event['reason']} The workers start again ({event['count']})."]
        case "log":
            return [f"{event.get('level', 'info')}: {event['message']}"]
        case "finished":
            return str(event["table"]).splitlines()
        case "failed" | "stopped":
            return [str(event["message"])]
        case _:
            return []


def progress_line(event: Event) -> str:
    """Return where a run stands, in one line."""
    parts = [
        f"epoch {event['epoch'] + 1}/{event['epochs']}",
        f"step {event['step']}/{event['steps']}",
        f"{event['samples_per_second']:.1f} samples/s",
        f"ETA {duration(event['eta_seconds'])}",
    ]
    if event.get("loss"):
        parts.append(f"loss {by_point(event['loss'], digits=3)}")
    if event.get("metric"):
        parts.append(f"{event['metric_name']} {by_point(event['metric'])}")
    return "  ".join(parts)


def by_point(values: Mapping[str, float | None], digits: int = 1) -> str:
    """Return "8bit 91.2, 2bit 80.0", in the order of the values."""
    texts = ((p, "-" if value is None else f"{value:.{digits}f}") for p, value in values.items())
    return ", ".join(f"{point} {text}" for point, text in texts)


def clock(seconds: float) -> str:
    """Return a time since 1970 as date and time here."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def duration(seconds: float | None) -> str:
    """Return a time span as people say it: "45s", "3m20s", "2h05m", "3d04h"."""
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
