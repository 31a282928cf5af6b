"""Marks of settings that name a file or a folder, for those who resolve the places in a job."""

from pydantic.config import JsonDict

IN_ROOT: JsonDict = {"relative_to": "root"}
"""Marks a path that is relative to the data set's folder."""
FILE_IN_ROOT: JsonDict = {"relative_to": "root", "names": "file"}
"""Marks such a path of a file that may also be in a bucket, from where others fetch it."""
