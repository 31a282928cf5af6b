"""Where the token of a cluster is kept. It is read when it is needed, and never printed."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import UsageError

_PRINTABLE = re.compile(r"[ -~]+")


@dataclass(frozen=True)
class Token:
    """A token in a file, or in an environment variable; else where Ray's own clients look.

    cluster: the named cluster whose `token_env` the variable is.
    """

    file: Path | None = None
    variable: str = ""
    cluster: str = ""

    def read(self) -> str | None:
        """Return the token; None when there is none, or Ray's own is switched off.

        Raises UsageError for what cannot be a token.
        """
        token = self._found()
        if token and not _PRINTABLE.fullmatch(token):
            raise UsageError(
                f"What {self.place} holds is no token: expected printable ASCII characters in one "
                "line. Ask whoever runs the cluster for the right one."
            )
        return token

    def _found(self) -> str | None:
        if self.file:
            return _in_file(self.file)
        if self.variable:
            return os.environ.get(self.variable, "").strip() or None
        return _of_ray()

    @property
    def place(self) -> str:
        """Where the token is, for messages."""
        if self.file or self.variable:
            return str(self.file or self.variable)
        return "RAY_AUTH_TOKEN" if os.environ.get("RAY_AUTH_TOKEN") else str(_file_of_ray())

    @property
    def advice(self) -> str:
        """What to do when a cluster asks for a token and none is there."""
        if self.file:
            return f"There is none in {self.file}."
        if self.variable:
            return f"Set {self.variable}, which `token_env` of the cluster {self.cluster!r} names."
        return "Set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to the file that holds it."


def _of_ray() -> str | None:
    if os.environ.get("RAY_AUTH_MODE", "").lower() == "disabled":
        return None
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token.strip()
    return _in_file(_file_of_ray())


def _file_of_ray() -> Path:
    given = os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token"
    return Path(os.path.expanduser(given))  # noqa: PTH111 - Path's raises where there is no home


def _in_file(file: Path) -> str | None:
    try:
        return file.read_text(errors="replace").strip() or None
    except OSError:
        return None
