from collections.abc import Callable

import pytest
from torch import nn

from orchestrator.store.run_folder import Reached
from orchestrator.train.state import RankState, TrainState


@pytest.fixture
def make_state() -> Callable[..., TrainState]:
    """Make the state of a network's run at its start, with some values changed."""

    def make(network: nn.Module, **changes: object) -> TrainState:
        values = {
            "job": {"name": "tiny"},
            "at": Reached(0, 0, 0),
            "micro_batch": 4,
            "optimizer": {},
            "method": {},
            "ranks": [RankState.of(network)],
            "tallies": [],
            "best": None,
            "last": None,
        }
        return TrainState(**(values | changes))  # type: ignore[arg-type]

    return make
