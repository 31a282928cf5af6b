"""Every measured figure in the documents is in a file that a named command makes again.

A paragraph or a table with measured figures follows a comment that names the file and, in the order
of the text, the keys of all its numbers:

    <!-- figures: benchmarks/results/NAME.json date seconds.whole.max top1.* -->

A star stands for all that is there, in the file's order.
"""

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/search.md",
    "infra/README.md",
    "jobs/quickstart/README.md",
    "docs/methods.md",
)
CARDS = tuple(
    str(card.relative_to(REPOSITORY)) for card in sorted((REPOSITORY / "docs/methods").glob("*.md"))
)
"""What they quote of papers is tested elsewhere."""

COMMENT = re.compile(r"<!-- figures: (\S+)\s([^>]+?)-->\n((?:.+\n)+)")
NUMBER = re.compile(r"\d{4}-\d\d-\d\d|(?<![\w.-])\d+(?:\.\d+)?(?![\w.]*\w)")
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
COUNT = r"(?:\d[\d.,]* ?|(?:one|two|three|four|five|ten) )"
MEASURED = re.compile(
    rf"\b{COUNT}(?:ms|s|seconds?|minutes?|hours?|%|times (?:faster|slower))(?!\w)[^.]*"
    r"|^\|.*\| *\d+\.\d+ *\|.*",
    re.MULTILINE,
)


def result(file: str) -> dict[str, Any]:
    return dict(json.loads((REPOSITORY / file).read_text()))


def printed(value: Any, like: str) -> str:
    """A value of a result file with as many decimals as the text has."""
    return f"{value:.{len(like.partition('.')[2])}f}" if isinstance(value, int | float) else value


def values(of: Any, key: str) -> list[Any]:
    """What a dotted key names in a result file."""
    name, _, rest = key.partition(".")
    every = of.values() if isinstance(of, dict) else of
    found = every if name == "*" else [of[name]]
    return [value for one in found for value in (values(one, rest) if rest else [one])]


def wrong_figures(text: str) -> list[str]:
    """The figures after comments that are not those of the file, and keys without a figure."""
    wrong = []
    for file, keys, block in COMMENT.findall(CODE.sub("", text)):
        whole, figures = result(file), NUMBER.findall(block)
        named = [(key, value) for key in keys.split() for value in values(whole, key)]
        if len(figures) != len(named):
            wrong.append(f"{len(figures)} figures, {len(named)} values: {block}")
        for figure, (key, value) in zip(figures, named, strict=False):
            if printed(value, figure) != figure:
                wrong.append(f"{key}: {figure} in the text, {value} in {file}")
    return wrong


def unnamed_figures(text: str) -> list[str]:
    """What reads like a measured figure, outside code and without a comment before it."""
    return [found.group() for found in MEASURED.finditer(COMMENT.sub("", CODE.sub("", text)))]


@pytest.mark.parametrize("document", DOCUMENTS + CARDS)
def test_every_figure_is_that_of_its_result_file(document: str) -> None:
    assert wrong_figures((REPOSITORY / document).read_text()) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_measured_figure_is_without_its_result_file(document: str) -> None:
    assert unnamed_figures((REPOSITORY / document).read_text()) == []


@pytest.mark.parametrize("file", sorted((REPOSITORY / "benchmarks/results").glob("*.json")))
def test_a_result_says_when_where_and_how_it_was_measured(file: Path) -> None:
    facts = result(str(file.relative_to(REPOSITORY)))
    module = re.match(r"python -m ((?:benchmarks|tests)\.[\w.]+)", facts["command"])
    assert module
    assert find_spec(module[1])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", facts["date"])
    assert re.fullmatch(r"[0-9a-f]{12}( with changes)?", facts["commit"])
    assert "cores" in facts["hardware"]
    assert "/" not in facts["hardware"]


def test_a_figure_that_differs_or_is_missing_is_found(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    file.write_text('{"date": "2026-01-02", "rows": {"8bit": {"top1": 93.666, "loss": 0.1837}}}')
    comment = f"<!-- figures: {file} rows.8bit.top1 rows.8bit.loss date -->\n"
    assert wrong_figures(comment + "| 8bit | 93.67 | 0.18 | (2026-01-02)\n\n7 more") == []
    assert len(wrong_figures(comment + "| 8bit | 93.66 | 0.1837 | (2026-01-02)\n")) == 1
    star = f"<!-- figures: {file} date rows.*.loss rows.8bit.* -->\n"
    assert wrong_figures(star + "2026-01-02 | 0.18 | 93.67 | 0.184\n") == []
    assert len(wrong_figures(star + "2026-01-02 | 0.18 | 0.184 | 93.67\n")) == 2
    assert len(wrong_figures(comment + "| 8bit | 93.67 | 0.18 | today\n")) == 1


@pytest.mark.parametrize(
    "text",
    ["It takes 20 to 33 s here.", "in one to three minutes", "a 5 % gain", "| 8bit | 93.67 | - |"],
)
def test_a_figure_without_a_comment_is_found(text: str) -> None:
    assert unnamed_figures(f"Before.\n\n{text}\n") != []
    assert unnamed_figures(f"```console\n{text}\n```\n\nPython 3.11, 8 bits, v1.3.\n") == []
