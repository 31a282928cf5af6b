"""Read a float model's file, inside any wrapper, or say in one line what the file is instead."""

import re
import zipfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

EXPECTED = "expected is a state dict with torchvision's names (.pt, .pth or .safetensors)"

WRAPPERS = (
    *("state_dict", "model", "model_state_dict", "model_state", "net", "network", "weights"),
    *("model_ema", "state_dict_ema", "ema_state_dict", "ema"),
)
"""Keys under which checkpoints keep the weights; averaged ones (EMA) are used only if there are no
others."""

SIGNATURES = {
    b"version https://git-lfs": "a git-LFS pointer, not the file itself; `git lfs pull` fetches it",
    b"<!doctype html": "an HTML page, not the file that was meant to be downloaded",
    b"<html": "an HTML page, not the file that was meant to be downloaded",
    b"<?xml": "an XML document, usually a server's error in place of the file",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"bzh": "a bzip2 archive; unpack it",
    b"\xfd7zxz": "an xz archive; unpack it",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive; unpack it",
    b"\x89hdf": "an HDF5 file (Keras, TensorFlow)",
    b"\x93numpy": "a NumPy array",
    b"gguf": "a GGUF file",
}
"""The first bytes of files that are not checkpoints, in lower case."""


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict from a .safetensors file, or from one of torch.save's.

    Raises FileNotFoundError, or ValueError with one line about a file that holds no state dict.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; {EXPECTED}")
    if not path.is_file():
        raise FileNotFoundError(f"no float model at {path}")
    what = _something_else(path)
    if what:
        raise ValueError(f"{path} is {what}; {EXPECTED}")
    try:
        return unwrap(_read(path))
    except Exception as error:  # a damaged file can raise anything in either reader
        raise ValueError(f"{path} {_reason(error, path)}") from error


def unwrap(content: object) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, without its wrappers.

    Raises ValueError where there are none.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"it is a {type(content).__name__}, not a mapping of names to tensors")
    wrapped = [content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)]
    if wrapped:
        return unwrap(wrapped[0])
    tensors = _tensors(content)
    inside = [value for value in content.values() if isinstance(value, Mapping) and _tensors(value)]
    if not tensors and len(inside) == 1:
        return unwrap(inside[0])
    if not tensors:
        raise ValueError(f"no tensors in it, its keys are {_some(map(str, content))}")
    return tensors


def _tensors(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _read(path: Path) -> Any:
    """Read either kind of file, whatever its name."""
    if _is_safetensors(path):
        from safetensors.torch import load_file

        return load_file(path)
    # torchvision's training checkpoints carry their command line. A path would let torch.load
    # choose the reader by the file's name.
    with torch.serialization.safe_globals([Namespace]), path.open("rb") as file:
        return torch.load(file, map_location="cpu", weights_only=True)


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins like safetensors: eight bytes of length, then JSON."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _something_else(path: Path) -> str:
    """Return what a file that is not a checkpoint is, by its first bytes, or nothing."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "empty (0 bytes)"
    for signature, what in SIGNATURES.items():
        if start.lstrip().lower().startswith(signature):
            return what
    if start.startswith(b"PK\x03\x04"):
        return _other_zip(path)
    if _is_text(start):
        return f"a text file that begins {start[:40].decode(errors='replace').splitlines()[0]!r}"
    return ""


def _other_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return f"cut short or damaged ({path.stat().st_size} bytes of a zip archive without an end)"
    if any(name.endswith("/constants.pkl") for name in names):
        line = "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')"
        return f"a TorchScript program; convert it with Python: import torch; {line}"
    if not any(name.endswith("/data.pkl") for name in names):
        return f"a zip archive of something else ({_some(names)})"
    return ""


def _is_text(start: bytes) -> bool:
    return start.isascii() and all(byte >= 32 or byte in b"\t\r\n\f" for byte in start)


def _reason(error: Exception, path: Path) -> str:
    """Return in one line why a file was not read, and how to convert one that contains objects."""
    text = " ".join(str(error).split())
    if "weights_only" not in text:
        return f"holds no state dict: {text.split('. ')[0][:300]}"
    named = re.search(r"GLOBAL (\S+)", text)
    if not named:
        return "holds no state dict: it is damaged, or a pickle that is not a checkpoint"
    return (
        f"holds Python objects ({named[1]}) beside its tensors, and reading these would run code "
        "of the file. If you trust it, convert it with Python where it was made: "
        f"{conversion(path)}"
    )


def conversion(path: Path) -> str:
    """Return the line of Python that turns a checkpoint with objects into a plain state dict."""
    return (
        f"import torch; c = torch.load({str(path)!r}, map_location='cpu', weights_only=False); "
        "c = c.get('state_dict', c.get('model', c)) if isinstance(c, dict) else c; "
        "torch.save(c if isinstance(c, dict) else c.state_dict(), 'weights.pth')"
    )


def _some(names: Any, shown: int = 3) -> str:
    """Return the first few names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - shown} more" if len(listed) > shown else ""
    return (", ".join(listed[:shown]) + more) or "none"
