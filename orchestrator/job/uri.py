"""Keep secrets out of URIs: find them, and mask them in what is printed.

Job files, records and Ray's pages are read by others; a password belongs in the environment.
"""

import re
from pathlib import Path
from urllib.parse import unquote

_USER_INFO = r"""[^\s/?#'"]*@ | [^\s/?#@:'"]*:(?!\d+[/?#])[^\s@'"]*@"""
"""What comes before the host; a password may contain an unquoted slash."""

_BEFORE_HOST = re.compile(rf"(?P<before>://)(?P<secret>{_USER_INFO})", re.VERBOSE)

_PARAMETER = re.compile(
    r"""(?P<before>(?:[?&;\#]|%3B)
        (?P<name>[\w.-]*(?:token|passw|secret|signature|credential|(?:api|access|account).?key)
            [\w.-]*|pass|pwd|sig|key|auth|authorization|jwt|code)
        (?:=|%3D))
        (?P<secret>(?:(?!%3B)[^\s&;\#'"])+)""",
    re.VERBOSE | re.IGNORECASE,
)


def sqlite_uri(file: Path, scheme: str = "sqlite") -> str:
    """Return the URI of an SQLite file. SQLAlchemy decodes `%xx` and ends the name at a `?`."""
    return f"{scheme}:///" + str(file).replace("%", "%25").replace("?", "%3F")


def secret_in(uri: str) -> str | None:
    """Return a description of the secret in a URI, or None.

    A user name alone is no secret for a database, but for a web server it is usually a token.
    """
    if match := _BEFORE_HOST.search(uri):
        if ":" in match["secret"]:
            return "a password"
        if uri.startswith(("http://", "https://")):
            return "a user name or a token"
    if match := _PARAMETER.search(unquote(uri)):
        return f"a secret ({match['name']}=...)"
    return None


def masked(text: str) -> str:
    """Return a text with *** in place of the secrets of the URIs in it."""
    text = _BEFORE_HOST.sub(r"\g<before>***@", text)
    return _PARAMETER.sub(r"\g<before>***", text)


def secret_problem(uri: str) -> str | None:
    """Return what is wrong with a tracking URI that contains a secret, and what to do."""
    found = secret_in(uri)
    if found is None:
        return None
    if uri.startswith(("http://", "https://")):
        instead = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    else:
        instead = "what the database's own client reads, such as PGPASSWORD for PostgreSQL"
    return f"contains {found}, which others can read; leave it out and set {instead}."
