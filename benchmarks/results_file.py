"""Keep what a benchmark measured, with what one must know to believe it or to measure it again."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from datetime import date
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"


def keep(name: str, command: str, figures: Mapping[str, object], device: str = "cpu") -> Path:
    """Write `benchmarks/results/NAME.json`: the figures, and when, where and how they came about.

    command: what measures them again, from the root of the repository.
    """
    facts = {
        "date": date.today().isoformat(),
        "hardware": hardware(device),
        "load": round(os.getloadavg()[0], 1),
        "command": command,
        "commit": commit(),
    }
    file = RESULTS / f"{name}.json"
    text = json.dumps({**facts, **figures}, indent=2)
    print(text)
    file.write_text(text + "\n")
    return file


def hardware(device: str) -> str:
    """Return the processor, its cores, and the accelerator if one was used."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    model = found[1] if found else platform.processor() or platform.machine()
    cores = f"{model}, {os.cpu_count()} cores"
    if device == "cpu":
        return cores
    import torch

    return f"{torch.cuda.get_device_name(device)}; {cores}"


def commit() -> str:
    """Return the commit that was measured, and whether files differed from it."""
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks")
    return _git("rev-parse", "--short=12", "HEAD") + (" with changes" if changed else "")


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
