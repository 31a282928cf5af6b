"""Set up a process of a job as Ray does, without importing Ray, which takes most of a second.

    python setup_worker.py --serialized-runtime-env-context JSON --language PYTHON PROGRAM ...

A Ray node starts each process through such a program; `orchestrator.cluster.ray_start` names this
one instead of Ray's own. What is not plain Python is left to Ray's.
"""

import importlib.util
import json
import os
import re
import shlex
import sys
from pathlib import Path

KNOWN = frozenset(
    {"command_prefix", "env_vars", "py_executable", "override_worker_entrypoint", "java_jars"}
)
"""What Ray 2.60 says of an environment. Of another version's, nothing is guessed."""


def main(arguments: list[str]) -> None:
    """Become the program that the arguments name, in its environment."""
    options, program = _divided(arguments)
    context = json.loads(options.get("--serialized-runtime-env-context") or "{}")
    if (
        options.get("--language") != "PYTHON"
        or not context.keys() <= KNOWN
        or context.get("override_worker_entrypoint")
    ):
        _leave_to_ray(arguments)
    for name, value in (context.get("env_vars") or {}).items():
        os.environ[name] = re.sub(r"\$\{[A-Z0-9_]+\}", "", os.path.expandvars(value))
    python = context.get("py_executable") or sys.executable
    quoted = [shlex.quote(word) for word in program]
    command = [*(context.get("command_prefix") or []), "exec", python, *quoted]
    os.execvp("bash", ["bash", "-c", " ".join(command)])


def _divided(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the options of this program, and all other arguments."""
    options: dict[str, str] = {}
    others: list[str] = []
    rest = iter(arguments)
    for word in rest:
        name, equals, value = word.partition("=")
        if name in ("--serialized-runtime-env-context", "--language"):
            options[name] = value if equals else next(rest, "")
        else:
            others.append(word)
    return options, others


def _leave_to_ray(arguments: list[str]) -> None:
    found = importlib.util.find_spec("ray")
    assert found is not None
    assert found.origin is not None
    program = Path(found.origin).parent / "_private" / "workers" / "setup_worker.py"
    os.execv(sys.executable, [sys.executable, str(program), *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
