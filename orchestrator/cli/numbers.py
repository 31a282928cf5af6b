"""The numbers that options take."""

import math
from typing import Any

import click

SEED = click.IntRange(0, 2**31 - 1)


class Finite(click.FloatRange):
    """A range of numbers; nan and infinity, which pass any comparison with its ends, are not."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number; what is none, or outside of the range, ends the command."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number
