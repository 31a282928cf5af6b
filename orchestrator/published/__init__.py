"""The papers' tables as data: one YAML file per document, rows by name."""

from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from models.precision import Precision


@dataclass(frozen=True)
class PublishedRow:
    """A row of a paper's table, as printed.

    metric: what `values` and `other` are: "top1" and "map" in percent, "top1_difference" in
    points, "size_mib", "csize_1e6" in million bits, "bitops_1e9". values: by operating point, from
    high to low. other: by the printed heading, what belongs to no operating point. delta_b: in
    percent as printed, against the row that is called `individual`.
    """

    paper: str
    table: str
    network: str
    data: str
    method: str
    metric: str
    values: dict[str, float] = field(default_factory=dict)
    other: dict[str, float] = field(default_factory=dict)
    delta_b: float | None = None
    individual: str | None = None

    def __post_init__(self) -> None:
        """Name the operating points as jobs and results do: "4bit" for the table's 4."""
        named = {Precision.parse(point).label: value for point, value in self.values.items()}
        object.__setattr__(self, "values", named)

    @property
    def source(self) -> str:
        """Where the row is printed, for people."""
        return f"{self.paper} {self.table}, {self.method}, {self.network} on {self.data}"


@cache
def published_rows() -> dict[str, PublishedRow]:
    """Return every published row by name; the tables are read once.

    A row has the fields of its table where it has none of its own, and may have a second name.
    """
    import yaml  # `orch list` imports this module and reads no table

    # Seven times as fast as the loader in Python, which stands in where yaml was built without C.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    rows: dict[str, PublishedRow] = {}
    for file in resources.files(__name__).iterdir():
        if file.name.endswith(".yaml"):
            for table in yaml.load(file.read_text(encoding="utf-8"), loader):
                for name, fields in table.pop("rows").items():
                    names = (name, fields.pop("also", name))
                    rows |= dict.fromkeys(names, PublishedRow(**table | fields))
    return rows
