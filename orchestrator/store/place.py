"""Which kind of folder is at a place: the one thing that is decided by how a setting is written."""

from pathlib import Path

from orchestrator.job.paths import in_bucket
from orchestrator.store.disk import DiskFolder
from orchestrator.store.folder import Folder


def folder_at(place: str | Path) -> Folder:
    """Return the folder at a path or a URI s3://BUCKET/PREFIX."""
    if not in_bucket(str(place)):
        return DiskFolder(Path(place))
    from orchestrator.store.s3 import S3Folder

    return S3Folder.at(str(place))
