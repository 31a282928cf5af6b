"""Marks of settings that name a file or a folder, for those who resolve the places in a job."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic.config import JsonDict

ROOT: JsonDict = {"names": "root"}
"""Marks the folder of a data set, which may also be in a bucket, where others let it be read."""
FOLDER_IN_ROOT: JsonDict = {"relative_to": "root", "names": "folder"}
"""Marks a folder in it, which may also be in a bucket by itself."""
FILE_IN_ROOT: JsonDict = {"relative_to": "root", "names": "file"}
"""Marks such a path of a file that may also be in a bucket, from where others fetch it."""


def _text_of(given: Any) -> Any:
    return str(given) if isinstance(given, Path) else given


Root = Annotated[str, BeforeValidator(_text_of)]
"""The folder of a data set as a job gives it. Whoever opens the set may put another place there."""
