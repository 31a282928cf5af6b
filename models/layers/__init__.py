"""Layers that take the bit-width to run at with every call."""
