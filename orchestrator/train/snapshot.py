"""Guard Ray Train's list of checkpoints, which it does not replace in one piece.

Ray keeps the committed checkpoints of a run in one JSON file and writes it in place. A kill at that
moment would leave half of it, and no way back into a run whose checkpoints are all whole.
"""

import json
from pathlib import Path

from orchestrator.files import write_whole

SNAPSHOT = "checkpoint_manager_snapshot.json"
COPY = "checkpoint_manager_snapshot.kept.json"


def keep(run_dir: Path) -> None:
    """Keep a copy of the list as it is before the next checkpoint is committed."""
    if _is_whole(run_dir / SNAPSHOT):
        write_whole(run_dir / COPY, (run_dir / SNAPSHOT).read_bytes())


def mend(run_dir: Path) -> None:
    """Put the copy in the place of a list that a kill left half written."""
    snapshot, copy = run_dir / SNAPSHOT, run_dir / COPY
    if not snapshot.exists() or _is_whole(snapshot):
        return
    if _is_whole(copy):
        write_whole(snapshot, copy.read_bytes())
    else:
        snapshot.unlink()


def _is_whole(file: Path) -> bool:
    try:
        json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return False
    return True
