"""The house: small files, no circles, and nothing of the place where it was built."""

import subprocess
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

REPOSITORY = Path(__file__).parents[1]
LONGEST_FILE = 400


def _tracked(*endings: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return [
        REPOSITORY / name
        for name in listed.stdout.splitlines()
        if name.endswith(endings) and (REPOSITORY / name).exists()
    ]


def test_no_file_is_too_long_to_be_read_in_one_sitting() -> None:
    lengths = {file: len(file.read_text().splitlines()) for file in _tracked(".py")}
    assert lengths
    assert {str(f): n for f, n in lengths.items() if n > LONGEST_FILE} == {}


def test_no_module_is_in_an_import_circle() -> None:
    graph = grimp.build_graph(
        "orchestrator", "models", "video", exclude_type_checking_imports=True, cache_dir=None
    )
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert len(imports) > 50
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"circle: {' -> '.join(error.args[1])}")


def test_product_and_documents_do_not_depend_on_where_they_were_built() -> None:
    texts = [*_tracked(".py", ".md", ".yaml", ".toml"), REPOSITORY / "Makefile"]
    shared = "../" + "shared"
    found = [
        str(file)
        for file in texts
        if shared in file.read_text() and file.relative_to(REPOSITORY).parts[0] != "tests"
    ]
    assert found == []
