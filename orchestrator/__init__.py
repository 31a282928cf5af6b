"""orch: train one set of weights that runs at any bit-width, on a Ray cluster."""

__version__ = "0.1.0"
