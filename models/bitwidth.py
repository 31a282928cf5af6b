"""Bit-widths: the ordered set a network is trained for, and one assignment of it to the layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_BITS = 8
FLOAT = 32
"""The one operating point of a float network, in the place of a bit-width."""


def name_of(bits: int) -> str:
    """Return what an operating point is called: "8", or "float"."""
    return "float" if bits == FLOAT else str(bits)


def check_bit_widths(bit_widths: Sequence[int]) -> tuple[int, ...]:
    """Return bit_widths as a tuple.

    Raises ValueError unless they are whole numbers from 1 to 8, each once, from high to low, or
    FLOAT alone.
    """
    if tuple(bit_widths) == (FLOAT,):
        return (FLOAT,)
    if not bit_widths:
        raise ValueError("at least one bit-width is needed")
    if any(not 1 <= bits <= MAX_BITS for bits in bit_widths):
        raise ValueError(f"bit-widths are 1 to {MAX_BITS}, not {list(bit_widths)}")
    if list(bit_widths) != sorted(set(bit_widths), reverse=True):
        raise ValueError(f"bit-widths stand from high to low, each once, not {list(bit_widths)}")
    return tuple(bit_widths)


@dataclass(frozen=True)
class Assignment:
    """The bit-width at which each part of a network runs in one forward pass.

    bits: everything outside the blocks (a switched stem set, MobileNetV2's last convolution).
    layers: one per quantized layer on the main path of the blocks, in order. A shortcut
        convolution follows the first layer of its block, whose input it shares.
    """

    bits: int
    layers: tuple[int, ...]

    @classmethod
    def uniform(cls, bits: int, num_layers: int) -> Assignment:
        """The whole network at one bit-width."""
        return cls(bits, (bits,) * num_layers)

    @classmethod
    def per_block(
        cls, bits: int, blocks: Sequence[int], layers_per_block: Sequence[int]
    ) -> Assignment:
        """Every layer of a block at the block's bit-width.

        Raises ValueError if there are not as many bit-widths as blocks.
        """
        if len(blocks) != len(layers_per_block):
            raise ValueError(f"{len(blocks)} bit-widths for {len(layers_per_block)} blocks")
        layers = (
            block
            for block, count in zip(blocks, layers_per_block, strict=True)
            for _ in range(count)
        )
        return cls(bits, tuple(layers))
