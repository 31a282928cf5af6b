"""Guard Ray Train's list of checkpoints, which it does not replace in one piece.

Ray keeps the committed checkpoints of a run in one JSON file and writes it in place. A kill at that
moment would leave half of it, and no way back into a run whose checkpoints are all whole.
"""

import json
import shutil
from pathlib import Path

SNAPSHOT = "checkpoint_manager_snapshot.json"
COPY = "checkpoint_manager_snapshot.kept.json"


def keep(run_dir: Path) -> None:
    """Keep a copy of the list as it is before the next checkpoint is committed."""
    if _is_whole(run_dir / SNAPSHOT):
        scratch = run_dir / f"{COPY}.new"
        shutil.copyfile(run_dir / SNAPSHOT, scratch)
        scratch.replace(run_dir / COPY)


def mend(run_dir: Path) -> None:
    """Put the copy in the place of a list that a kill left half written."""
    snapshot, copy = run_dir / SNAPSHOT, run_dir / COPY
    if not snapshot.exists() or _is_whole(snapshot):
        return
    if _is_whole(copy):
        shutil.copyfile(copy, snapshot)
    else:
        snapshot.unlink()


def _is_whole(file: Path) -> bool:
    try:
        json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return False
    return True
