"""Keep what a benchmark measured, with what one must know to believe it or to measure it again."""

import argparse
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


def conditions(command: str, device: str = "cpu") -> dict[str, object]:
    """Return when, where and how something is about to be measured.

    command: what measures it again, from the root of the repository.
    """
    return {
        "date": date.today().isoformat(),
        "hardware": hardware(device),
        "load": round(os.getloadavg()[0], 1),
        "command": command,
        "commit": commit(),
    }


def keep(name: str, measured: Mapping[str, object]) -> None:
    """Print the conditions and the figures, and write `benchmarks/results/NAME.json`."""
    text = json.dumps(measured, indent=2)
    print(text)
    (RESULTS / f"{name}.json").write_text(text + "\n")


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


def positive(text: str) -> int:
    """Return the whole number above 0 that an option gives, as argparse's `type`."""
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
