"""A look at MLflow's sqlite file without MLflow, whose import takes seconds of a processor."""

import re
import sqlite3
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

_REVISION = re.compile(r'^(down_)?revision = "(\w+)"', re.MULTILINE)


def is_fine(file: Path, experiment: str) -> bool:
    """Return whether the installed MLflow takes the file, and the experiment was not deleted.

    False means that MLflow has to be asked, which says what is wrong, if anything is.
    """
    asked = "SELECT lifecycle_stage FROM experiments WHERE name = ?"
    address = f"{file.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=1)) as database:
            [schema] = database.execute("SELECT version_num FROM alembic_version").fetchall()
            stages = database.execute(asked, [experiment]).fetchall()
    except (sqlite3.Error, ValueError):
        return False
    return schema == (newest_schema(),) and all(stage == ("active",) for stage in stages)


def newest_schema() -> str | None:
    """Return the version of the tables that the installed MLflow makes: it is none's predecessor.

    None if it cannot be told.
    """
    spec = find_spec("mlflow")
    if spec is None or spec.origin is None:
        return None
    versions: set[str] = set()
    earlier: set[str] = set()
    for file in Path(spec.origin).parent.glob("store/db_migrations/versions/*.py"):
        for down, version in _REVISION.findall(file.read_text("utf-8")):
            (earlier if down else versions).add(version)
    newest = versions - earlier
    return newest.pop() if len(newest) == 1 else None
