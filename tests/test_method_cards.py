"""What the methods' cards say of settings, jobs and published numbers is so."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from models.methods import METHODS
from models.table import resolve
from orchestrator.job.families import FAMILIES
from orchestrator.job.schema import Job
from orchestrator.published import PublishedRow, published_rows
from orchestrator.track.delta_b import delta_b

REPOSITORY = Path(__file__).parents[1]
CARDS = sorted((REPOSITORY / "docs" / "methods").glob("*.md"))
PARTS = ["Equations", "Settings", "Jobs", "Published", "Measured", "Known gaps"]
SETTING = re.compile(r"^\| `([\w.]+)` \|", re.MULTILINE)
FILE = re.compile(r"`((?:jobs|benchmarks|docs)/[^`]+)`")
FROM_ITS_OWN = "from its own numbers"

cards = pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)


def _keys(kind: Any, above: str = "") -> Iterator[str]:
    """Yield the dotted keys of a model's settings, as a job file has them."""
    for name, field in kind.model_fields.items():
        key = f"{above}{field.alias or name}"
        yield key
        below = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for part in below:
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _keys(part, f"{key}.")


@cache
def _known() -> set[str]:
    found = set(_keys(Job))
    for place, family in FAMILIES.items():
        for name in family.table:
            found |= set(_keys(resolve(family.table, name).Settings, ".".join(place) + "."))
    return found


def _part(card: Path, title: str) -> str:
    return card.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def _published(card: Path) -> Iterator[tuple[PublishedRow, dict[str, str]]]:
    """Yield each row of the card's published tables: the row itself, and its cells by heading."""
    heading: list[str] = []
    for line in _part(card, "Published").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == "row":
            heading = cells
        elif cells[0].startswith("`"):
            shown = {h: cell for h, cell in zip(heading, cells, strict=True) if cell}
            yield published_rows()[cells[0].strip("`")], shown


def _numbers(row: PublishedRow) -> Mapping[str, float]:
    return row.values | row.other | ({} if row.delta_b is None else {"Delta_B": row.delta_b})


def test_every_method_has_a_card() -> None:
    assert {"float", *(card.stem for card in CARDS)} >= METHODS.keys()


@cards
def test_a_card_has_all_parts_in_order(card: Path) -> None:
    assert re.findall("^## (.+)$", card.read_text(), re.MULTILINE) == PARTS


@cards
def test_the_settings_of_a_card_exist(card: Path) -> None:
    settings = SETTING.findall(_part(card, "Settings"))
    assert len(settings) >= 3
    assert [key for key in settings if key not in _known()] == []


@cards
def test_the_files_of_a_card_exist(card: Path) -> None:
    files = FILE.findall(card.read_text())
    assert any(name.startswith("jobs/") for name in files)
    coming = "benchmarks/results/method_ranking.json"
    assert [n for n in files if n != coming and not [*REPOSITORY.glob(n)]] == []


@cards
def test_the_published_numbers_of_a_card_are_those_of_the_rows(card: Path) -> None:
    found = list(_published(card))
    for row, shown in found:
        own = shown.pop(FROM_ITS_OWN, None)
        assert shown.pop("network, data") == f"{row.network}, {row.data}"
        del shown["row"]
        assert {key: float(cell) for key, cell in shown.items()} == _numbers(row)
        if own:
            reference = published_rows()[str(row.individual)].values
            assert float(own) == pytest.approx(delta_b(row.values, reference), abs=0.005)


def test_the_cards_have_published_numbers() -> None:
    assert sum(1 for card in CARDS for _ in _published(card)) > 50
