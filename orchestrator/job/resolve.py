"""Find the paths among the values of a job, and resolve them."""

from pathlib import Path
from typing import Any, TypeGuard, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from orchestrator.job.merge import Merged
from orchestrator.job.paths import ROOM_OF_RUN, absolute, file_or_object, filled, in_bucket, place
from orchestrator.job.source import Keys
from orchestrator.job.tracking_uri import resolve
from orchestrator.job.weights import is_run

ROOT = {"names": "root"}
"""Marks the folder of a data set that may also be a URI of S3."""

IN_ROOT = {"relative_to": "root"}
"""Marks, in a data set's settings, a path that is relative to the data set's folder."""

FOLDER_IN_ROOT = {"relative_to": "root", "names": "folder"}
"""Marks such a path of a folder, which may also be a URI of S3."""

FILE_IN_ROOT = {"relative_to": "root", "names": "file"}
"""Marks such a path of a file, which may also be a URI of S3."""

TRACKING_URI = {"names": "tracking"}
"""Marks a setting that holds a tracking URI, which may name a file."""

WEIGHTS = {"names": "weights"}
"""Marks a setting that holds a path or a URI of S3, or the name of a run."""

OUTPUT = {"names": "output"}
"""Marks such a setting, below which runs write their files."""


def resolve_paths(merged: Merged, kind: type[BaseModel], above: Keys = ()) -> list[str]:
    """Resolve every path of the job: relative to its file, or to the current folder for --set.

    A path marked as relative to a data set's root stays relative.
    """
    mistakes: list[str] = []
    section: Any = merged.values
    for key in above:
        section = section[key]
    for name, field in kind.model_fields.items():
        keys = (*above, name)
        value = section.get(name)
        if value is None and field.json_schema_extra == OUTPUT:
            value = field.default
        if isinstance(value, str) and _is_a_place(field):
            section[name], problem = _resolved(value, field, _folder(merged, keys))
            mistakes += [f"{merged.where(keys)}  {'.'.join(keys)}: {problem}"] * bool(problem)
        elif isinstance(value, dict) and _is_section(field.annotation):
            mistakes += resolve_paths(merged, field.annotation, keys)
    return mistakes


def _resolved(value: str, field: FieldInfo, folder: Path) -> tuple[str, str]:
    if field.json_schema_extra == IN_ROOT:
        return filled(value)
    if field.json_schema_extra == FILE_IN_ROOT:
        return file_or_object(value)
    if field.json_schema_extra == FOLDER_IN_ROOT:
        return place(value, folder) if in_bucket(value) else filled(value)
    if field.json_schema_extra == ROOT:
        return place(value, folder)
    if field.json_schema_extra == TRACKING_URI:
        return resolve(value, lambda path: absolute(path, folder))
    if field.json_schema_extra == WEIGHTS:
        return (value, "") if is_run(value, folder) else place(value, folder)
    if field.json_schema_extra == OUTPUT:
        return place(value, folder, ROOM_OF_RUN)
    return absolute(value, folder)


def _is_a_place(field: FieldInfo) -> bool:
    marks = (ROOT, IN_ROOT, FOLDER_IN_ROOT, FILE_IN_ROOT, TRACKING_URI, WEIGHTS, OUTPUT)
    return _is_path(field.annotation) or field.json_schema_extra in marks


def _is_path(annotation: Any) -> bool:
    return annotation is Path or Path in get_args(annotation)


def _is_section(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _folder(merged: Merged, keys: Keys) -> Path:
    source = merged.sources.get(keys)
    return source.folder if source else Path.cwd()
