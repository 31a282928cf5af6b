"""What is known of videos: found out once, and kept in the node's cache folder.

ORCH_CACHE names that folder; without it, it is `orch` among the user's caches.
"""

import os
from pathlib import Path

from video import BrokenVideo, UnreadVideo
from video.decode import probe
from video.index import Index, IndexFolder


def cache_folder() -> Path:
    """Return the folder of this node in which orch keeps what it can find out again."""
    if given := os.environ.get("ORCH_CACHE"):
        return Path(given)
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return Path(caches) / "orch"


class Library:
    """The indices of a data set's videos.

    Tables stay on disk, where all processes of a node share them: those of thousands of videos do
    not fit in the memory of each. What a failed read of the disk has hidden is not remembered.
    """

    def __init__(self) -> None:
        self._kept = IndexFolder(cache_folder() / "videos")
        self._small: dict[Path, Index] = {}

    def index(self, video: Path) -> Index:
        """Return what is known of a video. Raises BrokenVideo for one that cannot be read."""
        index = self._small.get(video) or self._kept.get(video) or self.look_again(video)
        if index.table is None:
            self._small[video] = index
        if index.broken:
            raise BrokenVideo(video, index.broken)
        return index

    def look_again(self, video: Path) -> Index:
        """Find out what is known of a video, whatever was known before.

        Raises BrokenVideo when the disk or a shortage is to blame; else what it returns says what
        is broken.
        """
        try:
            before = video.stat()
            index = probe(video)
        except UnreadVideo:
            raise
        except BrokenVideo as error:
            if not _is_still(before, video):
                raise
            index = Index(0, broken=error.reason)
        except OSError as error:
            raise BrokenVideo(video, f"cannot be read ({error.strerror})") from error
        self._small.pop(video, None)
        self._kept.put(video, index)
        return index


def _is_still(file: os.stat_result, video: Path) -> bool:
    """Return whether a path leads to the file that it led to before."""
    try:
        return os.path.samestat(file, video.stat())
    except OSError:
        return False
