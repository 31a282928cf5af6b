"""The files of a checkpoint: complete, or absent.

A checkpoint is a folder: `model.safetensors` holds the weights by name, `state.pt` the rest of what
a run needs to continue (`TrainState`). `manifest.json`, written last, holds the sizes and checksums
of both, and its own: files that are cut, missing or changed are noticed before use.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256

from orchestrator.errors import CheckpointMismatch
from orchestrator.store.folder import MARK, Folder, StorageTrouble
from orchestrator.typed_json import made_of

FORMAT = 3


@dataclass(frozen=True)
class FileFacts:
    """Size and checksum of a file."""

    size: int
    sha256: str

    @classmethod
    def of(cls, content: Iterable[bytes]) -> "FileFacts":
        """Return the size and checksum of a content, given in pieces."""
        size, checksum = 0, sha256()
        for chunk in content:
            size += len(chunk)
            checksum.update(chunk)
        return cls(size=size, sha256=checksum.hexdigest())


@dataclass(frozen=True)
class Manifest:
    """The format of a checkpoint, its files by name, and the checksum of all that."""

    format: int
    files: dict[str, FileFacts]
    sha256: str = ""

    def digest(self) -> str:
        """Return the checksum that belongs to what the manifest says."""
        said = {key: value for key, value in asdict(self).items() if key != "sha256"}
        return sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()


def with_manifest(contents: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a checkpoint in the order in which they are written, the manifest last."""
    yield from contents.items()
    files = {name: FileFacts.of([content]) for name, content in contents.items()}
    manifest = Manifest(format=FORMAT, files=files)
    signed = replace(manifest, sha256=manifest.digest())
    yield MARK, json.dumps(asdict(signed), indent=1).encode()


def damage(folder: Folder) -> str | None:
    """Return what is wrong with a checkpoint's files, or None when they are intact.

    Raises CheckpointMismatch for those of another version, StorageTrouble where nobody can say.
    """
    manifest = _manifest(folder)
    if manifest is None:
        return f"its {MARK} is missing or has changed"
    if manifest.format != FORMAT:
        raise CheckpointMismatch(
            f"{folder}: written by another version of orch (format {manifest.format}, expected "
            f"{FORMAT})."
        )
    faults = (_fault(folder, name, expected) for name, expected in manifest.files.items())
    return next(filter(None, faults), None)


def _manifest(folder: Folder) -> Manifest | None:
    """Return the manifest of a checkpoint; None when its own checksum does not match."""
    try:
        manifest = made_of(Manifest, json.loads(b"".join(folder.chunks(MARK))))
    except StorageTrouble:
        raise
    except (OSError, ValueError, RecursionError):
        return None
    return manifest if manifest.sha256 == manifest.digest() else None


def _fault(folder: Folder, name: str, expected: FileFacts) -> str | None:
    try:
        found = FileFacts.of(folder.chunks(name))
    except StorageTrouble:
        raise
    except OSError as error:
        return f"{name}: {error.strerror}"
    if found.size != expected.size:
        return f"{name} has {found.size} bytes instead of {expected.size}"
    if found != expected:
        return f"{name} has changed (its checksum differs)"
    return None
