"""The folder of a run: what is in it, by name."""

import re
from pathlib import Path

CHECKPOINT = re.compile(r"checkpoint_e(\d+)_s(\d+)")


def checkpoints(run_dir: Path) -> list[Path]:
    """Return the committed checkpoints, the newest last."""
    found = ((CHECKPOINT.fullmatch(folder.name), folder) for folder in run_dir.glob("checkpoint_*"))
    numbered = [(int(name[1]), int(name[2]), folder) for name, folder in found if name]
    return [folder for _, _, folder in sorted(numbered)]
