"""Where each value of a job comes from, by dotted key: a file and its line, --set, or a default."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.job.merge import Merged
from orchestrator.job.phases import PHASES
from orchestrator.job.source import Keys, Source, Values


def origins(values: Mapping[str, Any], merged: Merged, above: Keys = ()) -> dict[str, str]:
    """Return the origin of each value of a job in itself."""
    found: dict[str, str] = {}
    for key, value in values.items():
        keys = (*above, key)
        if isinstance(value, dict) and value:
            found |= origins(value, merged, keys)
        else:
            named = keys[:2] == ("reference", "runs")  # by points that may be written otherwise
            source = merged.source_of(keys) if named else merged.sources.get(keys)
            found[".".join(keys)] = source.where(keys) if source else "default"
    return found


def origins_in(phases: Sequence[Source]) -> dict[str, str]:
    """Return the origin of each value of each phase, by `phases.1.optimizer.lr` (from 1)."""
    return {
        ".".join((PHASES, str(number), *keys)): phase.where(keys)
        for number, phase in enumerate(phases, start=1)
        for keys in _leaves(phase.values)
    }


def _leaves(values: Values, above: Keys = ()) -> Iterator[Keys]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key)
