"""Tell whether two jobs learn the same thing, and if not, where they differ."""

from typing import Any

FREE = ("name", "cluster", "tracking", "checkpoint", "reference", "output")
"""Sections that may change between a run and its continuation: they decide where and how a run
is carried out and recorded, not what it learns."""


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return one line "key: old -> new" for each setting in which what is learned differs."""
    before, after = _flat(old), _flat(new)
    return [
        f"{key}: {before.get(key, 'not set')} -> {after.get(key, 'not set')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and key.split(".")[0] not in FREE
    ]


def _flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{above}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat
