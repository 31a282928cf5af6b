"""Debian's headless Chromium: a page as a person would find it, once its scripts have run."""

import html
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--window-size=1400,1200",
    "--virtual-time-budget=20000",
]


@dataclass(frozen=True)
class Page:
    """words: the text of a page. markup: its elements as they stood in the end."""

    words: str
    markup: str

    def lines_drawn(self) -> int:
        """Return how many curves the charts have; MLflow lays a smooth one over each faint one."""
        drawn = re.findall(r'<path class="js-line"[^>]* style="([^"]*)"', self.markup)
        return sum("stroke-opacity: 1;" in style for style in drawn)


def open_page(url: str, profile: Path) -> Page:
    """Open a page; skip the test where there is no Chromium. profile: a folder of its own."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed (Debian: apt install chromium)")
    done = subprocess.run(
        [program, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", url],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    shown = re.sub(r"<(style|script|noscript)\b.*?</\1>", "", done.stdout, flags=re.DOTALL)
    return Page(" ".join(html.unescape(re.sub(r"<[^>]+>", " ", shown)).split()), done.stdout)
