"""A device that this machine does not have: every wait of the host for it is noted.

Its tensors keep their values on the host and say that they lie elsewhere. Operations that make the
host wait on a GPU are the reads of values, the copies out of and into its memory, and those whose
output's size depends on values.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

FAR = torch.device("meta")
"""Torch knows this device, and a tensor on it needs neither a driver nor memory.

torch.tensor(..., device=FAR), which would wait, makes a tensor without values that cannot be used.
"""

_aten = torch.ops.aten
_WAITING = {
    _aten._local_scalar_dense.default,
    _aten.bincount.default,
    _aten.equal.default,
    _aten.masked_select.default,
    _aten.nonzero.default,
}


class FarTensor(Tensor):
    """A tensor on the far device."""

    @staticmethod
    def __new__(cls, near: Tensor) -> "FarTensor":
        return Tensor._make_wrapper_subclass(  # type: ignore[attr-defined, no-any-return]
            cls,
            near.size(),
            strides=near.stride(),
            storage_offset=near.storage_offset(),
            dtype=near.dtype,
            device=FAR,
        )

    def __init__(self, near: Tensor) -> None:
        self.near = near

    def data_ptr(self) -> int:
        """Return where the values are: two tensors have one address if they share them."""
        return self.near.data_ptr()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} of a far tensor outside of far_device()")


class _Waits(TorchDispatchMode):
    """Computes on the host what is to be computed on the far device."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        from_far = _any_far((args, *given.values()))
        device = given.get("device")
        to_far = from_far if device is None else torch.device(device) == FAR
        if _waits(func, args, given, from_far=from_far, to_far=to_far):
            self.noted.append(func.name())
        if device is not None:
            given["device"] = "cpu"
        output = func(*_near(args), **{key: _near(value) for key, value in given.items()})
        if not to_far:
            return output
        output = _far(output)
        return return_and_correct_aliasing(func, args, kwargs or {}, output) if from_far else output


@contextmanager
def far_device() -> Iterator[list[str]]:
    """Within, FAR can be used; yields the names of the operations that the host waited for."""
    with _Waits() as mode:
        yield mode.noted


def _waits(func: Any, args: Any, given: dict[str, Any], *, from_far: bool, to_far: bool) -> bool:
    if func is _aten._to_copy.default:
        return from_far != to_far and not given.get("non_blocking", False)
    if func is _aten.copy_.default:
        target, source, *non_blocking = args
        return isinstance(target, FarTensor) != isinstance(source, FarTensor) and not any(
            [*non_blocking, given.get("non_blocking", False)]
        )
    if func in (_aten.index.Tensor, _aten.index_put_.default):
        return from_far and any(i is not None and i.dtype == torch.bool for i in args[1])
    return from_far and func in _WAITING


def _any_far(given: Any) -> bool:
    if isinstance(given, (list, tuple)):
        return any(map(_any_far, given))
    return isinstance(given, FarTensor)


def _near(given: Any) -> Any:
    if isinstance(given, (list, tuple)):
        return type(given)(map(_near, given))
    return given.near if isinstance(given, FarTensor) else given


def _far(output: Any) -> Any:
    if isinstance(output, (list, tuple)):
        return type(output)(map(_far, output))
    return FarTensor(output) if isinstance(output, Tensor) else output
