"""The clusters that a user has given names, in a file of orch's own folder.

    lab:
      address: http://10.0.0.5:8265
      token_env: LAB_RAY_TOKEN                   # the variable that holds the cluster's token
      output: /shared/runs                       # and settings of jobs that do not say otherwise
      tracking: {uri: "http://mlflow.lab:5000"}

Reading it loads PyYAML, which commands do that know a run of a named cluster.
"""

import difflib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cluster.address import check_form
from orchestrator.cluster.token import Token
from orchestrator.errors import JobFileError, OrchError, UsageError
from orchestrator.home import orch_home

if TYPE_CHECKING:
    from orchestrator.job.source import Source

FILE = "clusters.yaml"
SETTINGS = ("checkpoint", "cluster", "output", "tracking")
"""The sections of a job that depend on where it runs, not on what is learned."""
KEYS = ("address", "token_env", *SETTINGS)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class NamedCluster:
    """A cluster with a name. settings: of the jobs that go there, weaker than their files."""

    name: str
    address: str
    token: Token
    settings: "Source"


def file() -> Path:
    """Return where the names are. The file need not exist."""
    return orch_home() / FILE


def load() -> dict[str, NamedCluster]:
    """Return the named clusters; none without a file. Raises JobFileError with all its mistakes."""
    from orchestrator.job.source import read_file

    if not file().exists():
        return {}
    source, mistakes = read_file(file(), str(file()))
    if source is not None:
        mistakes += [line for name in source.values for line in _mistakes(str(name), source)]
    if source is None or mistakes:
        raise JobFileError(mistakes)
    return {str(name): _cluster(str(name), source) for name in source.values}


def find(name: str) -> NamedCluster:
    """Return the cluster of this name. Raises UsageError, saying which there are."""
    known = load()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        raise UsageError(f"No cluster is called {name!r} in {file()}. Did you mean {near[0]}?")
    named = f"It names {', '.join(known)}." if known else "It names none yet."
    raise UsageError(
        f"No cluster is called {name!r} in {file()}. {named} A name is two lines there: "
        f"'{name}:' and below it '  address: http://HOST:8265'."
    )


def names() -> list[str]:
    """Return the names that are known; none while the file cannot be read."""
    try:
        return list(load())
    except OrchError:
        return []


def token_of(name: str) -> Token:
    """Return where the token is of the cluster to which a run went, or where Ray looks for it.

    A file that cannot be read, or no longer has the name, is a warning: the run still counts.
    """
    try:
        return find(name).token
    except OrchError as error:
        _LOG.warning("%s", error)
        return Token()


def _cluster(name: str, source: "Source") -> NamedCluster:
    from orchestrator.job.source import Source

    given = source.values[name]
    settings = {key: value for key, value in given.items() if key in SETTINGS}
    lines = {keys[1:]: line for keys, line in source.lines.items() if keys[0] == name and keys[1:]}
    token = Token(variable=given.get("token_env", ""), cluster=name)
    return NamedCluster(
        name, given["address"], token, Source(source.name, source.folder, settings, lines)
    )


def _mistakes(name: str, source: "Source") -> Iterator[str]:
    """Yield what is wrong with a cluster of the file, each with its line."""
    given, at = source.values[name], f"{source.where((name,))}  {name}"
    if not _NAME.fullmatch(name):
        yield f"{at}: expected a name of letters, digits, '_', '.' and '-'."
    if not isinstance(given, dict):
        yield f"{at}: expected keys below it: {', '.join(KEYS)}."
        return
    if "address" not in given:
        yield f"{at}: has no address, such as http://HOST:8265."
    for key, value in given.items():
        if problem := _problem(str(key), value):
            yield f"{source.where((name, str(key)))}  {name}.{key}: {problem}"


def _problem(key: str, value: object) -> str:
    """Return what is wrong with a value; a job that gets it checks the settings of jobs."""
    if key not in KEYS:
        near = difflib.get_close_matches(key, KEYS, n=1)
        return f"unknown; did you mean {near[0]}?" if near else f"expected {', '.join(KEYS)}."
    if key == "token_env" and not (isinstance(value, str) and _VARIABLE.fullmatch(value)):
        return (
            "expected the name of an environment variable; the token itself does not belong in a "
            "file."
        )
    if key == "address":
        return _problem_of_address(value)
    return ""


def _problem_of_address(value: object) -> str:
    if not isinstance(value, str):
        return "expected an address, such as http://HOST:8265."
    try:
        check_form(value)
    except UsageError as error:
        return str(error)
    return ""
