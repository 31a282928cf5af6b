import pytest

from orchestrator.data.subset import evenly_spread


@pytest.mark.parametrize(
    ("count", "limit", "kept"),
    [
        (5, None, [0, 1, 2, 3, 4]),
        (5, 9, [0, 1, 2, 3, 4]),
        (10, 2, [2, 7]),
        (9, 3, [1, 4, 7]),
        (7, 1, [3]),
        (0, 4, []),
    ],
)
def test_a_limit_keeps_samples_of_all_parts_of_a_data_set(
    count: int, limit: int | None, kept: list[int]
) -> None:
    assert evenly_spread(count, limit) == kept
