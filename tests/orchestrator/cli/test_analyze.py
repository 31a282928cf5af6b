"""orch analyze: tables, JSON and figures."""

import json
import math
from pathlib import Path

import torch

from tests.orchestrator.cli.conftest import Orch


def test_the_clip_level_with_the_smallest_error_is_printed_for_each_bit_width(
    orch: Orch, tmp_path: Path
) -> None:
    options = ("--bits", "4", "--bits", "2", "--bits", "4", "--seed", "1")
    done = orch("analyze", "clip-error", *options, "--output", "figures")
    assert done.exit_code == 0, done.stderr
    printed = json.loads(orch("analyze", "clip-error", *options, "--json").stdout)
    assert [curve["bits"] for curve in printed] == [4, 2]
    for curve in printed:
        level, error = curve["best"]
        assert f"{level:.2f}" in done.stdout
        assert f"{error:.5f}" in done.stdout
    assert {file.name for file in (tmp_path / "figures").iterdir()} == {
        "clip_error.png",
        "clip_error.csv",
    }
    rows = (tmp_path / "figures" / "clip_error.csv").read_text().splitlines()
    assert rows[0] == "clip_level,4bit,2bit"


def test_the_variance_of_filters_is_printed_beside_the_proposition(
    orch: Orch, tmp_path: Path
) -> None:
    options = ("--filters", "200", "--seed", "1")
    done = orch("analyze", "filter-variance", *options, "--output", "figures")
    assert done.exit_code == 0, done.stderr
    printed = json.loads(orch("analyze", "filter-variance", *options, "--json").stdout)
    assert [one["name"] for one in printed] == ["1x3x3", "4x3x3", "16x3x3", "1x6x6", "1x12x12"]
    for one in printed:
        assert f"{one['measured']:.6f}" in done.stdout
        assert f"{one['proposition']:.6f}" in done.stdout
    assert (tmp_path / "figures" / "filter_variance.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_measured_is_refused(orch: Orch, tmp_path: Path) -> None:
    assert orch("analyze", "clip-error", "--bits", "9").exit_code == 2
    (tmp_path / "net.pt").write_text("no network")
    done = orch("analyze", "filter-variance", "--weights", "net.pt")
    assert done.exit_code == 2
    assert "a text file" in done.stderr
    torch.save({"a.weight": torch.zeros(4, 2, 3, 3)}, tmp_path / "zero.pt")
    torch.save({"a.weight": torch.full((4, 2, 3, 3), math.nan)}, tmp_path / "nan.pt")
    for options, message in (
        (("--weights", "zero.pt"), "with weights unlike 0"),
        (("--weights", "nan.pt"), "weights of a are not finite"),
        (("--correlation", "nan"), "nan is not a finite number"),
        (("--seed", "99999999999999999999999"), "not in the range 0<=x<=2147483647"),
    ):
        done = orch("analyze", "filter-variance", *options)
        assert done.exit_code == 2
        assert message in done.stderr
        assert done.stdout == ""
