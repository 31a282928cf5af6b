"""What becomes of the copies that `orch data prepare` makes."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from orchestrator.curate.manifest import Copy, LeftOut


class State(StrEnum):
    """What became of a copy."""

    MADE = "made"
    KEPT = "kept"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """A source, and its copy; reason: why there is none."""

    source: str
    state: State
    copy: Copy | None = None
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """All outcomes, in the order of the data sets.

    folder: data.root of a job on the copies. removed: the names of copies that were there, and are
    not of the job. remarks: what is odd about the originals.
    """

    folder: str
    outcomes: tuple[Outcome, ...]
    removed: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def without_copy(self) -> list[LeftOut]:
        """The videos or images that have no copy."""
        found: list[LeftOut] = []
        for one in self.outcomes:
            if one.state is State.FAILED:
                found.append(LeftOut(one.source, one.reason))
            elif one.copy:
                found += one.copy.left_out
        return found

    @property
    def counts(self) -> dict[str, int]:
        """How many copies there are of each state."""
        return {state.value: sum(one.state is state for one in self.outcomes) for state in State}

    @property
    def bytes(self) -> tuple[int, int]:
        """Those of the sources that have copies, and of the copies."""
        copies = [one.copy for one in self.outcomes if one.copy]
        return sum(one.source.size for one in copies), sum(one.size for one in copies)


class Copying(Protocol):
    """Makes copies of the things that it lists, one at a time, in any process."""

    def things(self) -> Sequence[Any]:
        """Return what there is to copy, each for one call."""

    def name(self, thing: Any, /) -> str:
        """Return the name of a copy in the folder; it may lead out of it, and is not made then."""

    def __call__(self, thing: Any, /) -> Outcome:
        """Make a copy, or keep the one that is there."""

    def failed(self, thing: Any, reason: str, /) -> Outcome:
        """Return the outcome for a thing whose process ended."""
