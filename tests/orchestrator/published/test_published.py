"""The published rows against a reading of the printed tables that was made apart from them."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from orchestrator.published import PublishedRow, published_rows
from orchestrator.track.delta_b import delta_b

TABLES = Path(__file__).parents[2] / "data" / "published"
PRINTED: list[dict[str, Any]] = [
    row for file in sorted(TABLES.glob("*.json")) for row in json.loads(file.read_text())
]
PLACE = ("paper", "table", "network", "data", "method", "metric")
HEADINGS = {"32": "float", "1.5": "w1a2", "w8a8": "8bit"}
"""Operating points that a table calls by another name; 1.5 bits are 1 and 2 (Bit-Mixer Table 4)."""

TASKS = ("cifar10_resnet18", "cifar10_mobilenet_v2", "imagenet_resnet18", "activitynet_resnet18")
TASKS += ("activitynet_resnet50", "minikinetics_resnet18")
SECOND_NAMES = {f"{task}{end}" for task in TASKS for end in ("", "_float")}


def _place(row: PublishedRow) -> tuple[str, ...]:
    return tuple(getattr(row, key) for key in PLACE)


def _row_of(printed: dict[str, Any]) -> PublishedRow:
    by_place = {_place(row): row for row in published_rows().values()}
    return by_place[tuple(printed[key] for key in PLACE)]


def _label(heading: str) -> str:
    return HEADINGS.get(heading, f"{heading}bit" if re.fullmatch("[1-8]", heading) else heading)


def test_the_rows_are_the_printed_ones_each_once() -> None:
    rows = {name: _place(row) for name, row in published_rows().items() if name not in SECOND_NAMES}
    printed = [tuple(row[key] for key in PLACE) for row in PRINTED]
    assert Counter(rows.values()) == Counter(printed)
    assert len(printed) > 200


def test_every_value_is_the_printed_one() -> None:
    for printed in PRINTED:
        row = _row_of(printed)
        expected = {_label(heading): value for heading, value in printed["printed"].items()}
        assert row.values | row.other == expected, row.source
        assert row.delta_b == printed.get("delta_b"), row.source


def test_operating_points_are_apart_from_what_is_none() -> None:
    """Random bit-widths, averages over layers, sizes at a width: nothing a network runs at."""
    points = {point for row in published_rows().values() for point in row.values}
    other = {heading for row in published_rows().values() for heading in row.other}
    equal = {f"{bits}bit" for bits in range(1, 9)}
    assert points == equal | {"float", "w1a2", "w4a8", "w2a8", "w1a8"}
    assert {"rand", "3.5", "average", "adaptive", "0.5x", "depth-wise 4"} <= other


def test_delta_b_is_recomputed_from_the_rows_it_compares() -> None:
    """Where a printed Delta_B is not that of its own row, the recomputed one still is ours."""
    checked = 0
    for printed in PRINTED:
        row = _row_of(printed)
        if "recomputed" in printed:
            individual = published_rows()[str(row.individual)]
            found = delta_b(row.values, individual.values)
            assert found == pytest.approx(printed["recomputed"], abs=0.005), row.source
            assert (individual.network, individual.data) == (row.network, row.data)
            checked += 1
    assert checked == 67


def test_the_names_that_jobs_refer_to_are_second_names_of_rows() -> None:
    rows = published_rows()
    assert rows.keys() >= SECOND_NAMES
    assert rows["cifar10_resnet18"] is rows["coquant_t1_individual"]
    assert rows["activitynet_resnet50_float"].source == (
        "CoQuant Table 9, Full precision, ResNet50 on ActivityNet"
    )


def test_bit_mixer_quotes_the_individual_networks_of_adabits() -> None:
    """Bit-Mixer Table 7 calls 76.3, 75.9, 73.3 AdaBits; in AdaBits Table 4 they are SAT's."""
    rows = published_rows()
    quoted = rows["bitmixer_t7_resnet50_adabits"].values
    assert quoted == rows["adabits_t4_original_resnet50_individual"].values
    assert list(rows["adabits_t4_original_resnet50_adabits"].values.values()) == [76.1, 75.8, 73.2]


def test_nothing_is_read_before_a_row_is_asked_for() -> None:
    code = "import sys, orchestrator.published; assert 'yaml' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
