"""What is recorded of the parameters that quantizers learn, against the parameters by name."""

import re
from collections.abc import Callable

import pytest
import torch

from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_network
from orchestrator.track.result import Result
from orchestrator.train.evaluate import Evaluation
from orchestrator.train.measure import epoch_metrics
from orchestrator.train.tally import Tally


@pytest.mark.parametrize(
    ("weights", "activations", "steps", "input_steps"),
    [
        ("lsq_floor", "lsq_floor", {"8bit", "2bit"}, {"8bit", "2bit"}),
        ("double_rounding", "pact", {"8bit"}, set()),
    ],
)
def test_learned_steps_are_recorded_as_clip_levels_are(
    tiny_job: Callable[..., Job],
    weights: str,
    activations: str,
    steps: set[str],
    input_steps: set[str],
) -> None:
    """The smallest and the mean of all layers, however many there are."""
    quantizer = f"{{weights: {{name: {weights}}}, activations: {{name: {activations}}}}}"
    network = build_network(tiny_job(f"quantizer={quantizer}", "quantizer.bit_widths=[8, 2]"), 10)
    named = {name: p for name, p in network.named_parameters() if p.dim() == 0}
    with torch.no_grad():
        for number, step in enumerate(named.values(), start=1):
            step.fill_(number / 8)
    tally, evaluation = Tally((), torch.device("cpu")), Evaluation("top1", (), {})
    found = epoch_metrics(network, tally, evaluation, Result("top1", 0, 1, ()), {}, {}, 1.0)
    for place, names in (("step", steps), ("input_step", input_steps)):
        recorded = {key for key in found if key.startswith(f"weights/{place}/")}
        keys = {f"weights/{place}/{name}_{what}" for name in names for what in ("min", "mean")}
        assert recorded == keys
        for name in names:
            ending = re.compile(rf"\.{place}s\.{name}$")
            own = [p.item() for key, p in named.items() if ending.search(key)]
            assert len(own) > 3
            assert found[f"weights/{place}/{name}_min"] == min(own)
            assert found[f"weights/{place}/{name}_mean"] == pytest.approx(sum(own) / len(own))
