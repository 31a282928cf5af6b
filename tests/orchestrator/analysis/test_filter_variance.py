"""Proposition 1 of One Weight, on independent, dependent and stored weights."""

import math
from pathlib import Path

import pytest
import torch

from orchestrator.analysis.filter_variance import drawing, drawn_filters, spread, stored_filters
from orchestrator.errors import UsageError

FILTERS = 5_000


def test_independent_weights_have_the_variance_that_falls_with_their_number() -> None:
    for name, weights in drawn_filters(FILTERS, seed=1).items():
        found = spread(name, weights)
        assert found.d == math.prod(map(int, name.split("x")))
        assert found.rho == pytest.approx(2 / math.pi, abs=0.01)
        assert found.independent == (1 - 2 / math.pi) / found.d
        assert found.measured == pytest.approx(found.independent, rel=0.1)
        direct = torch.var(weights.abs().mean((1, 2, 3)), correction=0) / weights.square().mean()
        assert found.measured == pytest.approx(float(direct), rel=1e-12)


@pytest.mark.parametrize("correlation", [0.3, 0.8])
def test_dependent_weights_vary_as_the_proposition_says(correlation: float) -> None:
    # E|XY| of two normal numbers with a correlation, in closed form.
    angle = correlation * math.asin(correlation)
    rho = 2 / math.pi * (math.sqrt(1 - correlation**2) + angle)
    for name, weights in drawn_filters(FILTERS, seed=2, correlation=correlation).items():
        found = spread(name, weights)
        assert found.rho == pytest.approx(rho, abs=0.03)
        expected = 1 / found.d + (found.d - 1) / found.d * rho - 2 / math.pi
        assert found.measured == pytest.approx(expected, abs=0.03)
        assert found.proposition == pytest.approx(found.measured, abs=0.02)
        assert found.measured > 1.5 * found.independent


@pytest.mark.parametrize("unit", [1000, 1e200, 1e-200])
def test_the_unit_of_weights_does_not_matter(unit: float) -> None:
    weights = drawn_filters(100, seed=0)["4x3x3"].double()
    one, other = spread("a", weights), spread("a", unit * weights)
    assert one.measured == pytest.approx(other.measured, rel=1e-9)
    assert one.proposition == pytest.approx(other.proposition, rel=1e-9)


def test_the_convolutions_of_a_stored_network_are_measured_by_name(tmp_path: Path) -> None:
    tensors = {
        "module.conv1.weight": torch.randn(8, 3, 3, 3),
        "module.deep.weight": torch.randn(8, 1, 3, 3),
        "module.bn.weight": torch.randn(8),
        "module.fc.weight": torch.randn(10, 8),
    }
    torch.save({"state_dict": tensors}, tmp_path / "net.pt")
    found = stored_filters(tmp_path / "net.pt")
    assert {name: value[0].numel() for name, value in found.items()} == {
        "module.conv1": 27,
        "module.deep": 9,
    }
    torch.save({"fc.weight": torch.randn(3, 3)}, tmp_path / "none.pt")
    with pytest.raises(UsageError, match="holds no convolution"):
        stored_filters(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("no network")
    with pytest.raises(UsageError, match="a text file"):
        stored_filters(tmp_path / "text.pt")


@pytest.mark.parametrize(
    ("weights", "kind"),
    [
        (torch.ones(4, 3, 3, 3).to_sparse(), "sparse_coo"),
        (torch.ones(4, 3, 3, 3, dtype=torch.complex64), "complex64"),
        (torch.ones(4, 3, 3, 3, dtype=torch.int8), "int8"),
        (torch.ones(4, 3, 3, 3, device="meta"), "no values"),
    ],
)
def test_weights_that_are_no_dense_real_numbers_are_refused_by_name(
    tmp_path: Path, weights: torch.Tensor, kind: str
) -> None:
    torch.save({"a.weight": torch.randn(4, 3, 3, 3), "b.weight": weights}, tmp_path / "net.pt")
    with pytest.raises(UsageError, match=rf"net\.pt: b\.weight is a tensor of {kind}"):
        stored_filters(tmp_path / "net.pt")
    halves = {"a.weight": torch.randn(4, 3, 3, 3).bfloat16()}
    torch.save(halves | {"bn": torch.ones(4).to_sparse()}, tmp_path / "half.pt")
    assert list(stored_filters(tmp_path / "half.pt")) == ["a"]


def test_the_figure_keeps_all_that_was_measured() -> None:
    spreads = [spread(name, weights) for name, weights in drawn_filters(50, seed=0).items()]
    drawn = drawing(spreads)
    assert drawn.name == "filter_variance"
    assert [row[:3] for row in drawn.rows] == [(s.name, 50, s.d) for s in spreads]
