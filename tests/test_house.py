"""The house rules: short functions, small files, no circles, plain words."""

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import grimp
import pytest

from tests.mutants.put_in import read_bugs

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("orchestrator", "models", "video")

LONGEST_FILE = 350
LONGEST_FUNCTION = 50
MEDIAN_FUNCTION = 7
UNTYPED_DICTS = 21
"""How often the packages may say dict[str, Any]. It only ever goes down."""

BRITISH = re.compile(
    r"""(?x) (?: normal | initial | optim | organ | recogn | summar | minim | maxim | general
        | synchron | visual | random | util | special | serial | quant | parallel | final | real
        | symbol | central | categor | emphas | priorit ) is (?: e | ing | ation | er )
    | colour | behaviour | neighbour | favour | honour | labell(?:ed|ing) | cancell(?:ed|ing)
    | modell(?:ed|ing) | travell | signall | \bcentr(?:e|ed|es|ing)\b | \bmetres?\b
    | analys(?:e|ing) | licence | defence | catalogue | artefact | \bgrey | judgement
    | \bfulfil\b | \btowards\b | whilst | amongst | images_per_second""",
    re.IGNORECASE,
)

ELSEWHERE = re.compile(
    r"""(?x) [\[(][A-HKOPSTW]\d\b[^)]*[\])] | \b[A-H]\d:[ ]  # labels: (E2), [T1], E2: mAP
    | \b[Ss]ections?[ ][A-Z]\b
    | (?<!,[ ])\b[Ss]ections?[ ]\d                        # without a paper's name and a comma
    | \b(?:algorithm|our|of[ ]the)[ ]specification\b | \bspecification's\b
    | \bchoice[ ]register\b | \bstyle[ ]guide\b
    | \b(?:algorithms|vocabulary|platform|style|design|brief)\.md\b""",
)
"""References to documents that a reader of the repository does not have."""

FOREIGN = re.compile(
    r"""(?x) \b[Tt]ells?[ ]whether\b | \banew\b | \bstrangers\b | \bbears\b | \bborne\b | \bspelt\b
    | \bper[ ]cent\b | \b[Oo]ne[ ](?:line|row|file|word|message)[ ]an?[ ]\w""",
)
"""Words and turns that read like a translation."""


def _tracked(*endings: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return [
        REPOSITORY / name
        for name in listed.stdout.splitlines()
        if name.endswith(endings) and (REPOSITORY / name).exists()
    ]


@cache
def _sources() -> dict[str, str]:
    """Return the text of every Python file by its path in the repository."""
    return {str(f.relative_to(REPOSITORY)): f.read_text() for f in _tracked(".py")}


class _Outline(NamedTuple):
    """functions: line, name and length of each. imported: the dotted names of all imports."""

    functions: list[tuple[int, str, int]]
    imported: set[str]


@cache
def _outline(text: str) -> _Outline:
    """Return what a Python file consists of; functions and imports are in no expression."""
    found: list[ast.AST] = [ast.parse(text)]
    outline = _Outline([], set())
    for node in found:
        for part in ("body", "handlers", "orelse", "finalbody", "cases"):
            found += getattr(node, part, ())
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            outline.functions.append((node.lineno, node.name, length))
        elif isinstance(node, ast.Import):
            outline.imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            outline.imported.update(f"{node.module}.{alias.name}" for alias in node.names)
    return outline


def _of_packages() -> dict[str, str]:
    return {name: text for name, text in _sources().items() if name.startswith(PACKAGES)}


def _functions(sources: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Yield every function's place and its length in lines, from `def` to its last one."""
    for name, text in sources.items():
        for line, function, length in _outline(text).functions:
            yield f"{name}:{line} {function}", length


@cache
def _texts() -> dict[str, str]:
    """Return what was written for people by its path in the repository, but for this file."""
    files = _tracked(".py", ".md", ".yaml", ".toml", "Makefile")
    return {str(f.relative_to(REPOSITORY)): f.read_text() for f in files if f != Path(__file__)}


def _lines_with(pattern: re.Pattern[str]) -> list[str]:
    """Return the lines in which a pattern is found."""
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in _texts().items()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_file_is_too_long_to_be_read_in_one_sitting() -> None:
    lengths = {name: len(text.splitlines()) for name, text in _sources().items()}
    assert len(lengths) > 100
    assert {name: n for name, n in lengths.items() if n > LONGEST_FILE} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    assert [f"{place}: {n}" for place, n in _functions(_sources()) if n > LONGEST_FUNCTION] == []


def test_half_of_all_functions_have_at_most_seven_lines() -> None:
    lengths = [n for _, n in _functions(_of_packages())]
    assert len(lengths) > 500
    assert statistics.median(lengths) <= MEDIAN_FUNCTION


def test_dictionaries_without_types_become_fewer() -> None:
    found = {name: text.count("dict[str, Any]") for name, text in _of_packages().items()}
    assert sum(found.values()) <= UNTYPED_DICTS, {name: n for name, n in found.items() if n}


def test_no_module_is_in_an_import_circle() -> None:
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert len(imports) > 50
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize(
    "line", ["import ray.tune", "from ray import tune", "from ray.tune import a"]
)
def test_an_import_of_ray_tune_is_recognized(line: str) -> None:
    assert any(name.startswith("ray.tune") for name in _outline(line).imported)


@pytest.mark.parametrize(
    ("library", "places"),
    [
        ("ray.tune", ("orchestrator/search/tune.py",)),
        ("optuna", ("orchestrator/search/optuna.py",)),
        ("boto", ("orchestrator/store/",)),
        ("matplotlib", ("orchestrator/drawing.py", "orchestrator/search/figures/")),
    ],
)
def test_a_library_is_opened_in_one_place(library: str, places: tuple[str, ...]) -> None:
    found = [
        name
        for name, text in _of_packages().items()
        if any(imported.startswith(library) for imported in _outline(text).imported)
    ]
    assert found
    assert all(name.startswith(places) for name in found)


@pytest.mark.parametrize("word", ["normalised", "Colours", "the centre crop", "initialisation"])
def test_british_spelling_is_recognized(word: str) -> None:
    assert BRITISH.search(word)


def test_words_are_spelled_as_torch_spells_them() -> None:
    words = {word for text in _texts().values() for word in re.findall(r"\w+", text)}
    wrong = sorted(filter(BRITISH.search, words))
    assert {word: _lines_with(re.compile(rf"\b{word}\b")) for word in wrong} == {}


@pytest.mark.parametrize("text", ["one line a mistake", "Tell whether", "5 per cent", "made anew"])
def test_turns_that_read_like_a_translation_are_recognized(text: str) -> None:
    assert FOREIGN.search(text)


def test_the_text_is_plain_english() -> None:
    assert _lines_with(FOREIGN) == []


@pytest.mark.parametrize("text", ["mAP (E2).", "(section H)", "section 4", "specification's rule"])
def test_references_to_missing_documents_are_recognized(text: str) -> None:
    assert ELSEWHERE.search(text)


def test_the_text_names_formulas_and_papers_not_documents_the_reader_lacks() -> None:
    assert ELSEWHERE.search("(CoQuant, section 3)") is None
    assert _lines_with(ELSEWHERE) == []


@pytest.mark.parametrize("file", ["mutants/bugs.toml", "traps/traps.toml"])
def test_every_bug_that_is_put_in_fits_the_code(file: str) -> None:
    for bug in read_bugs(REPOSITORY / "tests" / file):
        assert (REPOSITORY / bug.file).read_text().count(bug.old) == 1, bug.name
        assert all((REPOSITORY / test.split("::")[0]).exists() for test in bug.tests), bug.name


def test_each_of_the_31_traps_is_built_in() -> None:
    traps = read_bugs(REPOSITORY / "tests" / "traps" / "traps.toml")
    assert list(dict.fromkeys(int(trap.part) for trap in traps)) == list(range(1, 32))


def test_make_looks_for_the_tests_that_start_ray_where_they_are() -> None:
    marked = re.compile(r"^(@|pytestmark = \[?)pytest\.mark\.ray", re.MULTILINE)
    [places] = re.findall(r"^STARTS_RAY := (.+)$", (REPOSITORY / "Makefile").read_text(), re.M)
    found = [name for name, text in _sources().items() if marked.search(text)]
    assert len(found) > 3
    assert [name for name in found if not name.startswith(tuple(places.split()))] == []


def test_product_and_documents_do_not_depend_on_where_they_were_built() -> None:
    shared = re.compile(re.escape("../" + "shared"))
    assert [line for line in _lines_with(shared) if not line.startswith("tests/")] == []
