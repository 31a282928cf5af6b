"""What is left of a folder when a process is killed, or the power fails, between two operations.

The disk keeps no more than it must: of a file what was there at its last fsync, of a folder which
names it had at its own. What came since may be there as well, in part, or not at all.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.crashes.trace import Operation

Tree = dict[str, "bytes | Tree"]
Promises = tuple[Any, ...]


@dataclass(eq=False)
class File:
    """The content of a file, and what of it is on the disk."""

    data: bytes = b""
    synced: bytes = b""
    gone: bool = False


@dataclass(eq=False)
class Folder:
    """The names in a folder, and those on the disk. gone: it was removed, not moved."""

    names: dict[str, "File | Folder"] = field(default_factory=dict)
    synced: dict[str, "File | Folder"] = field(default_factory=dict)
    gone: bool = False


class State(NamedTuple):
    """What a crash leaves. number: of the operation that was not done. promises: until then."""

    number: int
    how: str
    tree: Tree
    promises: Promises


def states(operations: list[Operation], begin: Tree, promised: Promises = ()) -> Iterator[State]:
    """Yield what a crash before, in and after each operation may leave, each state once.

    begin: what is on the disk at first. promised: what was promised of it.
    """
    disk, promises = _folder(begin), promised
    seen: set[int] = set()
    for number, operation in enumerate([*operations, Operation("end")]):
        for how, tree in _left(disk, operation):
            key = hash((_fingerprint(tree), len(promises)))
            if key not in seen:
                seen.add(key)
                yield State(number, how, tree, promises)
        if operation.kind == "promise":
            promises = (*promises, operation.data)
        else:
            _apply(disk, operation)


def points(operations: list[Operation]) -> int:
    """Return at how many operations a crash was tried."""
    return sum(operation.kind != "promise" for operation in operations)


def result(operations: list[Operation], begin: Tree) -> Tree:
    """Return what the operations lead to without a crash. begin: what is on the disk at first."""
    disk = _folder(begin)
    for operation in operations:
        if operation.kind != "promise":
            _apply(disk, operation)
    return _tree(disk, _data, _names)


def read(folder: Path) -> Tree:
    """Return a real folder in the same form."""
    return {
        path.name: read(path) if path.is_dir() else path.read_bytes() for path in folder.iterdir()
    }


def write(tree: Tree, folder: Path) -> None:
    """Make a real folder of it."""
    folder.mkdir()
    for name, content in tree.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            write(content, folder / name)


def _folder(tree: Tree) -> Folder:
    names = {
        name: File(content, content) if isinstance(content, bytes) else _folder(content)
        for name, content in tree.items()
    }
    return Folder(dict(names), dict(names))


def _fingerprint(tree: Tree) -> int:
    parts = ((n, hash(c) if isinstance(c, bytes) else _fingerprint(c)) for n, c in tree.items())
    return hash(tuple(parts))


# --- Operations -----------------------------------------------------------------------------------


def _apply(disk: Folder, operation: Operation) -> None:
    if operation.kind == "end":
        return
    folder, name = _place(disk, operation.path)
    match operation.kind:
        case "mkdir":
            folder.names[name] = Folder()
        case "create":
            folder.names[name] = File()
        case "write":
            _overwrite(folder.names[name], operation.at, operation.data)
        case "cut":
            node = folder.names[name]
            node.data = node.data[: operation.at].ljust(operation.at, b"\0")
        case "sync":
            _sync(disk if operation.path == "." else folder.names[name])
        case "rename":
            target, new = _place(disk, operation.to)
            target.names[new] = folder.names.pop(name)
        case "remove":
            folder.names.pop(name).gone = True
        case _:
            raise AssertionError(operation)


def _place(disk: Folder, path: str) -> tuple[Folder, str]:
    *above, name = Path(path).parts or (".",)
    for part in above:
        disk = disk.names[part]
    return disk, name


def _overwrite(file: File, at: int, data: bytes) -> None:
    file.data = file.data[:at].ljust(at, b"\0") + data + file.data[at + len(data) :]


def _sync(node: File | Folder) -> None:
    if isinstance(node, File):
        node.synced = node.data
    else:
        node.synced = dict(node.names)


# --- Crashes --------------------------------------------------------------------------------------


def _left(disk: Folder, operation: Operation) -> Iterator[tuple[str, Tree]]:
    yield "killed", _tree(disk, _data, _names)
    if operation.kind == "write" and len(operation.data) > 1:
        half = copy.deepcopy(disk)
        part = operation.data[: len(operation.data) // 2]
        _apply(half, Operation("write", operation.path, at=operation.at, data=part))
        yield "killed in the middle of a write", _tree(half, _data, _names)
    yield "power lost, contents dropped", _tree(disk, _synced, _names)
    yield "power lost, contents torn", _tree(disk, _torn, _names)
    yield "power lost, names undone", _tree(disk, _synced, _synced_names)
    yield "power lost, all undone but removals", _tree(disk, _synced, _names_that_stay)


def _tree(
    folder: Folder, content: Callable[[File], bytes], names: Callable[[Folder], dict[str, Any]]
) -> Tree:
    return {
        name: content(node) if isinstance(node, File) else _tree(node, content, names)
        for name, node in sorted(names(folder).items())
    }


def _data(file: File) -> bytes:
    return file.data


def _synced(file: File) -> bytes:
    return file.synced


def _torn(file: File) -> bytes:
    """Of what is not on the disk the first half is, and zeros in place of the rest."""
    begin = len(file.synced) if file.data.startswith(file.synced) else 0
    rest = len(file.data) - begin
    return file.data[: begin + rest // 2] + bytes(rest - rest // 2)


def _names(folder: Folder) -> dict[str, Any]:
    return folder.names


def _synced_names(folder: Folder) -> dict[str, Any]:
    return folder.synced


def _names_that_stay(folder: Folder) -> dict[str, Any]:
    return {name: node for name, node in folder.synced.items() if not node.gone}
