import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.job.source import dump, parse_value, read_file

CORE = {
    "0042": 42,
    "-007": -7,
    "+12": 12,
    "0o17": 15,
    "0x1F": 31,
    "5e-4": 0.0005,
    "1E5": 100000.0,
    ".5": 0.5,
    "5.": 5.0,
    "true": True,
    "FALSE": False,
    "null": None,
    "~": None,
    "": None,
}
"""Examples of YAML 1.2.2, section 10.3.2."""

TEXTS = [
    *("yes", "no", "on", "off", "y", "N", "tRue"),
    *("1:30", "190:20:30", "2024-06-01", "2001-12-14t21:59:43Z"),
    *("1_000", "0b101", "0x", "0o8", "1e", "-", "+", ".", "..", "=", "NULl"),
]
"""What YAML 1.1, Python or a careless pattern takes for something else than text."""


def read(tmp_path: Path, text: str) -> tuple[dict[str, Any], list[str]]:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    source, mistakes = read_file(file, "a.yaml")
    return source.values if source else {}, mistakes


@pytest.mark.parametrize(("text", "value"), [*CORE.items(), *((text, text) for text in TEXTS)])
def test_scalars_follow_the_core_schema_in_files_and_overrides(
    tmp_path: Path, text: str, value: Any
) -> None:
    for got in (parse_value(text), read(tmp_path, f"a: {text}\n")[0]["a"] if text != "-" else "-"):
        assert got == value
        assert type(got) is type(value)


@pytest.mark.parametrize(
    "text",
    ["/mnt/disk #2/clips", "a: b", "- a", "a, b", "it's", "*a", "&a b", "!x y", "%a", "@a", "a]"],
)
def test_the_text_of_an_override_is_taken_whole(text: str) -> None:
    assert parse_value(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[8, no, 1:30]", [8, "no", "1:30"]),
        ("{8: a, 06: b}", {"8": "a", "06": "b"}),
        ('"007"', "007"),
        ("'a #b'", "a #b"),
    ],
)
def test_an_override_in_brackets_or_quotes_is_yaml(text: str, value: Any) -> None:
    assert parse_value(text) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"a" #b', 'follows the closing "'),
        ("[1] x", "not valid YAML"),
        ("[1", "not valid YAML"),
        ("{a: 1, a: 2}", "given twice"),
        ("[&a [*a]]", "contains itself"),
        ("[" * 10_000, "nested more than"),
        ("[" + "1," * 5000 + "]", "more than 1000 values"),
        ("9" * 5000, "far too large"),
        ("[!!timestamp 2024-06-01]", "the tag"),
        ('"\\0"', "control character"),
    ],
)
def test_an_override_that_is_no_value_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_value(text)


LAUGHS = "\n".join(
    [
        "a: &a [x, x, x, x, x, x, x, x, x]",
        *(
            f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]"
            for n in range(9)
        ),
    ]
)

HOSTILE = {
    "a: &a [*a]\n": ":1  a value contains itself",
    "a: &a {b: *a}\n": ":1  a value contains itself",
    "b: 1\na: " + "[" * 10_000: ":2  nested more than",
    "b: 1\na: " + "[" * 10_000 + "]" * 10_000: ":2  nested more than",
    "\n".join(" " * n + "a:" for n in range(300)): ":30  nested more than",
    "- " * 20_000: ":1  nested more than",
    LAUGHS: ":3  more than 1000 values",
    "\n".join(f"a{n}: 1" for n in range(5000)): ":500  more than 1000 values",
    "a: 1\nb: " + "9" * 5000: ":2  99999999999999999999 is not a whole number",
    "a: " + "x" * 100_000: ": is larger than 64 KiB",
    "a: 1\nb: !!set {c}\n": ":2  the tag",
    "a: !!python/name:os.system x\n": ":1  the tag",
    "a: 1\n? [b]\n: c\n": ":2  a key is text",
    "a: &a {b: 1}\nc:\n  <<: *a\n": ":3  `<<` is not part of YAML 1.2",
    'a: "\\ud800"\n': ":1  a text holds a control character",
    "a: *b\n": ":1  not valid YAML",
    "a: 1\n---\nb: 2\n": ":2  not valid YAML",
}


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:20])
def test_hostile_yaml_is_one_message_with_its_line_in_bounded_time(
    tmp_path: Path, text: str
) -> None:
    start = time.process_time()
    _, [mistake] = read(tmp_path, text)
    assert time.process_time() - start < 2
    assert mistake.startswith(f"a.yaml{HOSTILE[text]}")
    assert len(mistake) < 200


def test_an_endless_file_is_refused(tmp_path: Path) -> None:
    assert "larger" in read_file(Path("/dev/zero"), "zero")[1][0]


def test_an_alias_means_what_it_names(tmp_path: Path) -> None:
    assert read(tmp_path, "a: &a {x: 1}\nb: *a\n") == ({"a": {"x": 1}, "b": {"x": 1}}, [])


def test_a_key_given_twice_is_a_mistake_on_the_second_line(tmp_path: Path) -> None:
    [mistake] = read(tmp_path, "a: 1\nb: {c: 1}\na: 2\n")[1]
    assert mistake.startswith("a.yaml:3  a: given twice (first on line 1)")


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False),
    st.sampled_from(
        [*CORE, *TEXTS, "a #b", "a: b", "# a", " a ", "a\nb", "-", "'", '"', "é", "\t"]
    ),
    st.text(st.characters(exclude_categories=["C"])),
)


@given(st.dictionaries(st.text(st.characters(categories=["L", "N"]), min_size=1), scalars))
def test_what_is_written_is_read_back_by_the_rules_of_1_1_and_1_2(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    text = dump(values)
    read_back, mistakes = read(tmp_path_factory.getbasetemp(), text)
    if values:
        assert (read_back, mistakes) == (values, [])
    assert yaml.safe_load(text) == values
    assert all(
        type(read_back[key]) is type(value) or isinstance(value, float)
        for key, value in values.items()
    )


@given(scalars)
def test_a_value_written_on_one_line_is_one_line_and_the_same_value(value: Any) -> None:
    text = dump(value, one_line=True)
    assert "\n" not in text
    assert yaml.safe_load(text) == value
    assert parse_value(text) == value
