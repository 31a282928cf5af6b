from random import Random
from statistics import mean

import pytest

from orchestrator.job.axis_check import NARROWEST, WIDEST
from orchestrator.job.space import Axis, Prior
from orchestrator.search.belief import Anywhere, Around, Density, OneOf, belief

LAMBDA = Axis(loguniform=(1e-4, 1.0), prior=Prior(value=1e-3, width=10))
SHARE = Axis(uniform=(0.2, 1.0), prior=Prior(value=0.6, width=0.2))
ALPHA = Axis(choice=(2, 4, 8), prior=Prior(value=8, width=0.3))

DENSITIES = [
    Anywhere(), Around(0.1, 0.2), Around(1.0, 0.05), Around(0.3, WIDEST), OneOf(3, 1, 0.3),
    OneOf(1, 0, 0.3),
]  # fmt: skip


@pytest.mark.parametrize("density", DENSITIES)
def test_a_density_has_a_mean_of_1_and_draws_where_it_is(density: Density) -> None:
    places = [(number + 0.5) / 3000 for number in range(3000)]
    assert mean(map(density.at, places)) == pytest.approx(1, abs=1e-3)
    chance = Random(1)
    drawn = [density.draw(chance) for _ in range(2000)]
    assert all(0 <= place <= 1 for place in drawn)
    expected = mean(place * density.at(place) for place in places)
    assert mean(drawn) == pytest.approx(expected, abs=0.03)


def test_the_width_of_a_prior_is_one_standard_deviation_in_the_unit_of_its_key() -> None:
    assert belief(LAMBDA) == Around(pytest.approx(0.25), pytest.approx(0.25))
    assert belief(SHARE) == Around(pytest.approx(0.5), pytest.approx(0.25))
    stepped = Axis(uniform=(0, 3), step=1, prior=Prior(value=1, width=2))
    assert belief(stepped) == Around(pytest.approx(0.375), pytest.approx(0.5))
    assert belief(ALPHA) == OneOf(3, 2, 0.3)
    assert belief(Axis(choice=(2, 4, 8))) == Anywhere()


@pytest.mark.parametrize("center", [0.0, 0.5, 1.0])
def test_the_narrowest_width_that_a_job_may_have_draws_its_center(center: float) -> None:
    density, chance = Around(center, NARROWEST), Random(1)
    drawn = [density.draw(chance) for _ in range(100)]
    assert drawn == pytest.approx([center] * 100, abs=1e-5)
    assert density.at(center) > 1e5
    assert density.at(abs(center - 0.5)) == 0.0


def test_a_belief_is_highest_at_the_value_of_the_prior() -> None:
    values = [axis.value(belief(axis).peak(Random(1))) for axis in (LAMBDA, SHARE, ALPHA)]
    assert values == pytest.approx([1e-3, 0.6, 8])
    assert [round(belief(ALPHA).at(place), 3) for place in (0.1, 0.5, 0.9)] == [0.45, 0.45, 2.1]
