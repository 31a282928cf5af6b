"""Where a run stands."""

from typing import NamedTuple


class Position(NamedTuple):
    """Phase, epoch of the phase and optimizer step of the epoch, each counted from 0.

    epochs: of the phase. steps_per_epoch: optimizer steps of each of its epochs.
    """

    phase: int
    epoch: int
    step: int
    epochs: int
    steps_per_epoch: int

    @property
    def steps_done(self) -> int:
        """Number of optimizer steps of the phase before this one."""
        return self.epoch * self.steps_per_epoch + self.step
