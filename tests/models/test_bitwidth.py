import pytest

from models.bitwidth import Assignment, check_bit_widths


@pytest.mark.parametrize("wrong", [(), (0,), (9,), (2, 4), (4, 4), (8, 4, 6)])
def test_bit_widths_out_of_order_or_range_are_refused(wrong: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="bit-width"):
        check_bit_widths(wrong)


def test_bit_widths_from_high_to_low_pass() -> None:
    assert check_bit_widths([8, 3, 1]) == (8, 3, 1)


def test_a_block_gives_its_bit_width_to_its_layers() -> None:
    assert Assignment.per_block(2, [8, 2], [2, 3]) == Assignment(2, (8, 8, 2, 2, 2))


def test_as_many_bit_widths_as_blocks_are_needed() -> None:
    with pytest.raises(ValueError, match="1 bit-widths for 2 blocks"):
        Assignment.per_block(2, [8], [2, 2])
