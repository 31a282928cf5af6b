"""The papers' results as data: one YAML file per paper, rows by name."""

from functools import cache
from typing import NamedTuple

from models.precision import Precision


class PublishedRow(NamedTuple):
    """A row of a paper's table. values: percent by operating point, from high to low."""

    source: str
    metric: str
    values: dict[str, float]


@cache
def published_rows() -> dict[str, PublishedRow]:
    """Return every published row by name; the tables are read once."""
    from importlib import resources  # `orch list` imports this module and reads no table

    import yaml

    rows: dict[str, PublishedRow] = {}
    for file in resources.files(__name__).iterdir():
        if file.name.endswith(".yaml"):
            for name, row in yaml.safe_load(file.read_text(encoding="utf-8")).items():
                values = {Precision.parse(p).label: float(v) for p, v in row["values"].items()}
                rows[name] = PublishedRow(row["source"], row["metric"], values)
    return rows
