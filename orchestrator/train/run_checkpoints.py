"""The checkpoints of a run: put in their place, thinned out, found again, damaged ones set aside.

The folder itself is the list: `checkpoint_e0003_s000120` was taken after 3 epochs and 120 steps.
There is no other list that could name what is gone, or be lost while the checkpoints are whole.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from orchestrator.errors import CheckpointMismatch
from orchestrator.events import say
from orchestrator.store.run_folder import CHECKPOINT, checkpoints
from orchestrator.train import checkpoint as saved

ASIDE = "damaged_"


def commit(folder: Path, run_dir: Path, *, epoch: int, step: int, keep: int) -> None:
    """Make a written checkpoint the latest one, and remove all but the last `keep`.

    A checkpoint of this position is the one that the run goes on from, and stays.
    """
    target = run_dir / f"checkpoint_e{epoch:04d}_s{step:06d}"
    if target.exists():
        shutil.rmtree(folder)
    else:
        folder.rename(target)
    for old in checkpoints(run_dir)[:-keep]:
        shutil.rmtree(old.rename(old.with_name(f".{old.name}")))


def position(run_dir: Path) -> tuple[int, int]:
    """Return the epochs and steps of the newest checkpoint, (-1, -1) when there is none."""
    for folder in reversed(checkpoints(run_dir)):
        if name := CHECKPOINT.fullmatch(folder.name):
            return int(name[1]), int(name[2])
    return -1, -1


def latest(run_dir: Path) -> Path | None:
    """Return the newest whole checkpoint; None for a run that has not come to its first one.

    Damaged ones are named in the log and kept under another name. The best epoch's copy is the
    last resort. Raises CheckpointMismatch rather than let a run begin again that had got on.
    """
    damaged: list[str] = []
    best = sorted(run_dir.glob("best-epoch-*"))
    for folder in [*reversed(checkpoints(run_dir)), *reversed(best)]:
        fault = saved.damage(folder)
        if fault is None:
            if damaged:
                _warn(f"Going on from {folder.name}, the newest whole checkpoint.")
            return folder
        aside = _set_aside(folder)
        damaged.append(f"{folder.name}: {fault}")
        _warn(f"{folder} is damaged: {fault}. It is kept as {aside.name}.")
    _refuse_to_begin_again(run_dir, damaged)
    return None


def _refuse_to_begin_again(run_dir: Path, damaged: list[str]) -> None:
    signs = damaged or _signs_of_progress(run_dir)
    if signs:
        raise CheckpointMismatch(
            f"{run_dir} holds no whole checkpoint to go on from ({'; '.join(signs)}). Put one back "
            "if there is a copy; to begin anew, `orch submit` the job as a new run."
        )


def _signs_of_progress(run_dir: Path) -> list[str]:
    """Return what shows that there were checkpoints, although there is none now."""
    others = [folder.name for folder in run_dir.glob("*checkpoint_*")]
    signs = [f"unusable: {', '.join(sorted(others))}"] if others else []
    facts = _facts(run_dir)
    epoch = (facts.get("progress") or {}).get("epoch", 0)
    if facts.get("evaluated") or epoch:
        signs.append(f"progress.json: the run had come to epoch {epoch + 1}")
    elif (run_dir / "metrics.jsonl").exists():
        signs.append("metrics.jsonl: an epoch was recorded")
    return signs


def _facts(run_dir: Path) -> dict[str, Any]:
    try:
        facts = json.loads((run_dir / "progress.json").read_text())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _set_aside(folder: Path) -> Path:
    """Rename a damaged checkpoint to a name that is not in use; return the new path."""
    number, target = 1, folder.with_name(ASIDE + folder.name)
    while target.exists():
        number += 1
        target = folder.with_name(f"{ASIDE}{folder.name}.{number}")
    return folder.rename(target)


def _warn(message: str) -> None:
    say("log", level="warning", message=message)
