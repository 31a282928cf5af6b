"""What a stronger source replaces whole in a search: an axis of another kind, a renamed part."""

from collections.abc import Collection
from typing import get_args

from orchestrator.job.families import value_at
from orchestrator.job.merge import Merged
from orchestrator.job.search import Scheduler, Searcher
from orchestrator.job.source import Keys
from orchestrator.job.space import KINDS

SPACE = ("search", "space")
_PARTS = {("search", "scheduler"): Scheduler, ("search", "searcher"): Searcher}


def keep_the_stronger_search(merged: Merged) -> None:
    """Drop what weaker sources say about axes and parts that a stronger one gives again.

    An axis that a stronger source sets to null is left out.
    """
    space = value_at(merged.values, SPACE)
    for key in list(space) if isinstance(space, dict) else ():
        if space[key] is None:
            merged.drop((*SPACE, key))
        elif isinstance(space[key], dict):
            _keep_the_stronger_kind(merged, (*SPACE, key))
    for keys, kinds in _PARTS.items():
        named = value_at(merged.values, (*keys, "name"))
        for kind in get_args(kinds):
            if named in get_args(kind.model_fields["name"].annotation):
                _drop_older(merged, keys, than=(*keys, "name"), but=kind.model_fields)


def _keep_the_stronger_kind(merged: Merged, axis: Keys) -> None:
    given = [(*axis, kind) for kind in KINDS if (*axis, kind) in merged.sources]
    if len({merged.rank(keys) for keys in given}) > 1:
        _drop_older(merged, axis, than=max(given, key=merged.rank), but=("when",))


def _drop_older(merged: Merged, section: Keys, *, than: Keys, but: Collection[str]) -> None:
    """Drop the keys of a section that came before another one of its keys."""
    for key in list(value_at(merged.values, section)):
        keys = (*section, key)
        inside = [known for known in merged.sources if known[: len(keys)] == keys]
        if key not in but and max(map(merged.rank, inside)) < merged.rank(than):
            merged.drop(keys)
