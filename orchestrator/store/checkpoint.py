"""The files of a checkpoint: complete, or absent.

A checkpoint is a folder: `model.safetensors` holds the weights by name, `state.pt` the rest of what
a run needs to continue (`TrainState`). `manifest.json`, written last, holds the sizes and checksums
of both, and its own: files that are cut, missing or changed are noticed before use.
"""

import shutil
from collections.abc import Iterable
from hashlib import file_digest, sha256
from pathlib import Path

from pydantic import BaseModel

from orchestrator.errors import CheckpointMismatch
from orchestrator.files import write_whole

FORMAT = 3
MANIFEST = "manifest.json"


class FileFacts(BaseModel, frozen=True, extra="forbid"):
    """Size and checksum of a file."""

    size: int
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> "FileFacts":
        """Return the size and checksum of a content."""
        return cls(size=len(content), sha256=sha256(content).hexdigest())


class Manifest(BaseModel, frozen=True, extra="forbid"):
    """The format of a checkpoint, its files by name, and the checksum of all that."""

    format: int
    files: dict[str, FileFacts]
    sha256: str = ""

    def digest(self) -> str:
        """Return the checksum that belongs to what the manifest says."""
        return sha256(self.model_dump_json(exclude={"sha256"}).encode()).hexdigest()


def write_checkpoint(folder: Path, contents: Iterable[tuple[str, bytes]]) -> None:
    """Write files to a new folder, onto the disk. Raises OSError; then nothing stays."""
    folder.mkdir(parents=True)
    try:
        files = {}
        for name, content in contents:
            write_whole(folder / name, content)
            files[name] = FileFacts.of(content)
        manifest = Manifest(format=FORMAT, files=files)
        signed = manifest.model_copy(update={"sha256": manifest.digest()})
        write_whole(folder / MANIFEST, signed.model_dump_json(indent=1))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def damage(folder: Path) -> str | None:
    """Return what is wrong with a checkpoint's files, or None when they are intact.

    Raises CheckpointMismatch for those of another version.
    """
    manifest = _manifest(folder)
    if manifest is None:
        return f"its {MANIFEST} is missing or has changed"
    if manifest.format != FORMAT:
        raise CheckpointMismatch(
            f"{folder}: written by another version of orch (format {manifest.format}, expected "
            f"{FORMAT})."
        )
    faults = (_fault(folder / name, expected) for name, expected in manifest.files.items())
    return next(filter(None, faults), None)


def _manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a checkpoint; None when its own checksum does not match."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    return manifest if manifest.sha256 == manifest.digest() else None


def _fault(path: Path, expected: FileFacts) -> str | None:
    try:
        with path.open("rb") as file:
            found = file_digest(file, "sha256").hexdigest()
            size = file.tell()
    except OSError as error:
        return f"{path.name}: {error.strerror}"
    if size != expected.size:
        return f"{path.name} has {size} bytes instead of {expected.size}"
    if found != expected.sha256:
        return f"{path.name} has changed (its checksum differs)"
    return None
