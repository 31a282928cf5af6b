"""Marks of settings that name a file or a folder, for those who resolve the places in a job."""

from pydantic.config import JsonDict

ROOT: JsonDict = {"names": "root"}
"""Marks the folder of a data set, which may also be in a bucket, where others let it be read."""
FOLDER_IN_ROOT: JsonDict = {"relative_to": "root", "names": "folder"}
"""Marks a folder in it, which may also be in a bucket by itself."""
FILE_IN_ROOT: JsonDict = {"relative_to": "root", "names": "file"}
"""Marks such a path of a file that may also be in a bucket, from where others fetch it."""
