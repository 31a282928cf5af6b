"""Where the time of a step goes, by kind of work, from torch's own profiler."""

import re
from collections.abc import Callable, Iterable

from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

KINDS = {
    "integer convolution": r"qconv|onednn::",
    "convolution, backward": r"convolution_backward|ConvolutionBackward",
    "convolution": r"convolution|conv2d",
    "batch norm": r"batch_norm|BatchNorm",
    "quantizers": r"FakeQuantize|Encode|Pact|Quantized",
    "weights": r"StraightThrough|Weight|bincount|tanh",
    "gradients and optimizer": r"Optimizer|AccumulateGrad",
    "loss and head": r"softmax|nll_loss|kl_div|linear|addmm|AddmmBackward|Nll|Kl",
}
"""A kind of work, and which operations, or what they are called by, belong to it."""

REST = "ReLU, sums, and the rest of torch"
PYTHON = "between operations"


def breakdown(step: Callable[[], object], *, steps: int = 3) -> dict[str, float]:
    """Return the percentage of a step's time on the wall that each kind of work takes."""
    step()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
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


def _with_callers(event: FunctionEvent | None) -> Iterable[FunctionEvent]:
    while event is not None:
        yield event
        event = event.cpu_parent


def _named(name: str) -> str | None:
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), None)
