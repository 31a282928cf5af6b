"""A process as Ray's own program sets it up, beside one that ours does."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from orchestrator.warm import setup_worker

OF_NOBODY = ("_", "SHLVL", "RAY_CLIENT_MODE")
"""Of the shell, and what importing Ray sets."""
TELL = "import json, os, sys; print(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]))"


def raylet_would(program: Path, context: dict[str, Any], *words: str, language: str) -> Any:
    """Start a program as a raylet does; return the arguments, folder and variables it ends with."""
    own = ["--serialized-runtime-env-context", json.dumps(context), f"--language={language}"]
    done = subprocess.run(
        [sys.executable, program, "-c", TELL, *words, *own],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "SET": "before", "LANG": "C.UTF-8"},
        check=True,
    )
    arguments, folder, variables = json.loads(done.stdout)
    return arguments, folder, {k: v for k, v in variables.items() if k not in OF_NOBODY}


def rays_own() -> Path:
    found = find_spec("ray")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "_private" / "workers" / "setup_worker.py"


@pytest.mark.parametrize(
    ("context", "language"),
    [
        ({}, "PYTHON"),
        ({"env_vars": {"A": "1 $x", "B": "${SET}/b", "C": "${UNSET}c", "SET": "after"}}, "PYTHON"),
        (
            {"command_prefix": ["cd", "/usr", "&&"], "py_executable": f"{sys.executable} -s"},
            "PYTHON",
        ),
        ({"env_vars": {"A": "1"}, "override_worker_entrypoint": "-c"}, "PYTHON"),
    ],
)
def test_it_is_the_same_process(context: dict[str, Any], language: str) -> None:
    words = ("--port=1", "two words", "$HOME", "it's")
    expected = raylet_would(rays_own(), context, *words, language=language)
    ours = raylet_would(Path(setup_worker.__file__), context, *words, language=language)
    assert ours == expected
    assert expected[0] == [*words]
