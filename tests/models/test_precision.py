"""How precisions are written, and what they are called."""

import pytest

from models.precision import FLOAT, OperatingPoint, Precision


@pytest.mark.parametrize(
    ("text", "precision", "label"),
    [
        (8, (8, 8), "8bit"),
        ("4", (4, 4), "4bit"),
        ("2bit", (2, 2), "2bit"),
        ("w1a4", (1, 4), "w1a4"),
        ("w4a4", (4, 4), "4bit"),
        ("w8a32", (8, FLOAT), "w8a32"),
        ("float", (FLOAT, FLOAT), "float"),
        (32, (FLOAT, FLOAT), "float"),
    ],
)
def test_a_precision_is_read_as_it_is_written(
    text: str | int, precision: tuple[int, int], label: str
) -> None:
    assert Precision.parse(text) == precision
    assert Precision.parse(text).label == label
    assert Precision.parse(label) == precision


@pytest.mark.parametrize(
    "text",
    ["", "bit", "w4", "a4", "0", 9, "w0a4", "w4a16", "-4", "4.0", "8 bit", "08", "w4a04", "\u0664"],
)
def test_other_words_are_refused_with_what_was_expected(text: str | int) -> None:
    with pytest.raises(ValueError, match=r"a precision is written|bit-widths are 1 to 8"):
        Precision.parse(text)


def test_a_point_of_one_precision_has_its_label_as_name() -> None:
    assert OperatingPoint.at("w1a4") == OperatingPoint("w1a4", Precision(1, 4))


@pytest.mark.parametrize(
    ("precision", "nearest"),
    [(7, 8), (5, 6), (3, 4), (1, 2), ("w2a5", 4), ("w1a4", 4)],
)
def test_the_nearest_precision_is_the_higher_one_of_two(precision: int | str, nearest: int) -> None:
    trained = [Precision(bits, bits) for bits in (2, 4, 6, 8)]
    assert Precision.parse(precision).nearest(trained) == Precision(nearest, nearest)


def test_the_nearest_precision_counts_bits_of_weights_and_activations() -> None:
    trained = [Precision.parse(label) for label in ("w8a4", "w1a4", "w4a8")]
    assert Precision.parse("w2a4").nearest(trained).label == "w1a4"
    assert Precision.parse("w3a8").nearest(trained).label == "w4a8"
    assert Precision.parse("w6a6").nearest(trained).label == "w8a4"
