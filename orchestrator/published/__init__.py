"""The papers' results as data: one YAML file per paper, rows by name."""

from importlib import resources
from typing import Any

import yaml


def published_rows() -> dict[str, Any]:
    """Return every published row by name: {"source", "metric", "values": {bit-width: percent}}."""
    rows: dict[str, Any] = {}
    for file in resources.files(__name__).iterdir():
        if file.name.endswith(".yaml"):
            rows |= yaml.safe_load(file.read_text(encoding="utf-8"))
    return rows
