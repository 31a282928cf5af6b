"""The figures of a search, each as a picture and as the data behind it."""

import itertools
from collections.abc import Iterator

from orchestrator.drawing import Drawing
from orchestrator.search.figures.by_key import points_by_key, value_by_key
from orchestrator.search.figures.keys import importance_of_keys, pair_of_keys
from orchestrator.search.figures.progress import best_by_hours, lives
from orchestrator.search.importance import importance
from orchestrator.search.level import Level, comparable
from orchestrator.search.records import Opened
from orchestrator.search.standing import Standing
from orchestrator.store.folder import Folder

MOST_PAIRS = 3


def draw(standing: Standing, folder: Folder) -> None:
    """Write all figures of an opened search, and remove those that it no longer has.

    Raises OSError.
    """
    folder.make()
    drawn: set[str] = set()
    for drawing in drawings_of(standing):
        for name, content in drawing.files().items():
            folder.write(name, content)
            drawn.add(name)
    for name in folder.files():
        if name.endswith((".png", ".csv")) and name not in drawn:
            folder.remove(name)


def drawings_of(standing: Standing) -> Iterator[Drawing]:
    """Yield the figures for which an opened search has enough trials."""
    opened = standing.opened
    assert opened is not None
    if standing.runs:
        yield lives(standing)
    if standing.curve:
        yield best_by_hours(standing, opened)
    level = comparable(standing)
    for key in opened.keys:
        yield from value_by_key(standing, opened, key)
        yield from points_by_key(level, opened, key)
    yield from _of_keys(level, opened)


def _of_keys(level: Level, opened: Opened) -> Iterator[Drawing]:
    """Yield what matters, and the pairs of the keys that matter most."""
    shares = importance(level.trials, opened.keys, opened.log_keys)
    if any(shares.values()):
        yield importance_of_keys(level, shares)
    varied = [key for key in shares if len({str(t.settings.get(key)) for t in level.trials}) > 1]
    pairs = itertools.combinations(varied, 2)
    drawings = (one for pair in pairs for one in pair_of_keys(level, opened, pair))
    yield from itertools.islice(drawings, MOST_PAIRS)
