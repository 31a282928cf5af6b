"""What a CoQuant step costs, as ratios of medians measured in turn in one run.

    python benchmarks/coquant_step.py [--rounds 7] [--batch 32] [--threads 1] [--device cpu]

- "coquant / four individual": one step at 8, 6, 4, 2 bits against one step of each bit-width alone.
- "not shared / shared": the same CoQuant step when each pass derives the codes of the weights anew.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from results_file import conditions, keep

from models import build_network
from models.layers.conv import QuantizedConv2d
from models.methods.base import Batch, Method, Step
from models.methods.coquant import CoQuant, CoQuantSettings
from models.methods.individual import Individual, IndividualSettings
from models.networks.base import AnyBitNetwork
from models.networks.resnet_cifar import ResNet18Cifar
from models.precision import OperatingPoint
from models.quantizers.settings import QuantizerSettings

BITS = (8, 6, 4, 2)


def main() -> None:
    """Measure, print the ratios, and keep them in benchmarks/results."""
    parser = argparse.ArgumentParser(description="What a CoQuant step costs.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    kind = torch.device(given.device).type
    about = conditions(
        f"python benchmarks/coquant_step.py --rounds {given.rounds} --batch {given.batch} "
        f"--threads {given.threads} --device {given.device}",
        kind,
    )
    torch.set_num_threads(given.threads)
    seconds = measure(given.rounds, given.batch, torch.device(given.device))
    median = {name: statistics.median(times) for name, times in seconds.items()}
    figures = {
        "network": "ResNet18 in its CIFAR form, 32x32",
        "median_seconds": median,
        "coquant / four individual": median["coquant"] / median["four individual"],
        "not shared / shared": median["coquant, not shared"] / median["coquant"],
    }
    keep(f"coquant_step_{kind}", {**about, **figures})


def measure(rounds: int, batch: int, device: torch.device) -> dict[str, list[float]]:
    """Return the seconds of each round by what was measured, one after another in each round."""
    inputs = torch.randn(batch, 3, 32, 32, device=device)
    labels = torch.randint(10, (batch,), device=device)
    joint = network(BITS, device)
    alone = {bits: network((bits,), device) for bits in BITS}
    points = [OperatingPoint.at(bits) for bits in BITS]
    coquant = CoQuant(CoQuantSettings(), points)
    individual = {
        bits: Individual(IndividualSettings(), [point])
        for bits, point in zip(BITS, points, strict=True)
    }

    def four_individual() -> None:
        for bits in BITS:
            train_step(alone[bits], individual[bits], inputs, labels)

    measured: dict[str, Callable[[], None]] = {
        "coquant": lambda: train_step(joint, coquant, inputs, labels),
        "coquant, not shared": lambda: train_step(joint, coquant, inputs, labels, share=False),
        "four individual": four_individual,
    }
    # On a CPU the seconds of this process, whatever else runs on the machine.
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in measured}
    for round_ in range(rounds + 1):
        for name, run in measured.items():
            start = clock()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if round_ > 0:
                seconds[name].append(clock() - start)
    return seconds


def network(bit_widths: tuple[int, ...], device: torch.device) -> AnyBitNetwork:
    """Return a ResNet18 of CIFAR-10's size."""
    built = build_network(
        ResNet18Cifar.Settings(),
        QuantizerSettings(bit_widths=bit_widths),
        bit_widths=bit_widths,
        num_classes=10,
        clip_init=8.0,
        code_bits=8,
    )
    return built.to(device).train()


def train_step(
    net: AnyBitNetwork,
    method: Method,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    share: bool = True,
) -> None:
    """One optimizer step; without `share` every pass quantizes the weights from the start."""
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    step = Step(
        seed=0, index=0, epoch=0, epochs=10, progress=0.0, sum_over_ranks=lambda tensor: tensor
    )
    for _, loss, _ in method.losses(net, [Batch(inputs, labels)], step):
        torch.autograd.backward(loss)
        if not share:
            for layer in net.modules():
                if isinstance(layer, QuantizedConv2d):
                    layer._shared = None
    optimizer.step()


if __name__ == "__main__":
    main()
