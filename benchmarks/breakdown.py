"""Where the time of a step of `orch` goes, by kind of work, from torch's own profiler."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from models.layers.conv import QuantizedConv2d
from models.quantizers.pact import Pact
from models.quantizers.truncated import TruncatedWeight
from orchestrator.train.gradients import Gradients

INTEGER = "convolution of codes"
FORWARD = "convolution, forward"
BACKWARD = "convolution, backward"
NORM = "batch norm"
QUANTIZERS = "quantizers of activations"
WEIGHTS = "quantizers of weights"
UPDATE = "gradients and optimizer"
LOSS = "linear layer and loss"
REST = "ReLU, sums, and the rest of torch"
PYTHON = "between operations"

KINDS = {
    WEIGHTS: r"prepack|StraightThrough|_Normalize",
    INTEGER: r"qconv",
    BACKWARD: r"convolution_backward|ConvolutionBackward|_WithGradientBackward",
    FORWARD: r"convolution|conv2d",
    NORM: r"batch_norm|BatchNorm",
    QUANTIZERS: r"_FakeQuantize|_Encode|_Values",
    UPDATE: r"Optimizer|AccumulateGrad",
    LOSS: r"softmax|nll_loss|kl_div|aten::linear|Addmm|Softmax|Nll|KlDiv",
}
"""What operations and autograd's functions are called, by the kind of work that they do."""

SCOPES = (
    (FORWARD, QuantizedConv2d, "forward"),
    (FORWARD, QuantizedConv2d, "output"),
    (FORWARD, QuantizedConv2d, "followed"),
    (QUANTIZERS, Pact, "forward"),
    (WEIGHTS, TruncatedWeight, "levels"),
    (WEIGHTS, TruncatedWeight, "stand_in"),
    (UPDATE, Gradients, "average"),
)
"""Methods of `orch` whose operations belong to a kind of work unless their names say another."""


def breakdown(step: Callable[[], object], *, steps: int = 3) -> dict[str, float]:
    """Return the percentage of a step's time on the wall that each kind of work takes."""
    step()
    with _scopes(), profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(steps):
            step()
    events = profiled.events()
    whole = max(e.time_range.end for e in events) - min(e.time_range.start for e in events)
    spent = dict.fromkeys([*KINDS, REST, PYTHON], 0.0)
    for event in events:
        spent[kind_of(event)] += event.self_cpu_time_total
    spent[PYTHON] = whole - sum(spent.values())
    return {kind: round(100 * time / whole, 1) for kind, time in spent.items()}


def kind_of(event: FunctionEvent) -> str:
    """Return the kind of work of an operation: the nearest one of it and what it is called by."""
    return next((kind for one in _with_callers(event) if (kind := _named(one.name))), REST)


@contextmanager
def _scopes() -> Iterator[None]:
    """Within, the profiler sees when the methods of SCOPES run, by the names of their kinds."""
    with ExitStack() as patches:
        for kind, owner, name in SCOPES:
            seen = record_function(kind)(getattr(owner, name))
            patches.enter_context(patch.object(owner, name, seen))
        yield


def _with_callers(event: FunctionEvent | None) -> Iterator[FunctionEvent]:
    while event is not None:
        yield event
        event = event.cpu_parent


def _named(name: str) -> str | None:
    if name in KINDS:
        return name
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), None)
