"""What a CoQuant step costs, as ratios of medians measured in turn in one run.

    python -m benchmarks.coquant_step [--rounds 7] [--batch 32] [--threads 1] [--device cpu]

- "coquant / four individual": one step at 8, 6, 4, 2 bits against one step of each bit-width alone.
- "not shared / shared": the same CoQuant step when each pass recomputes the codes of the weights.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from benchmarks.results_file import REPOSITORY, conditions, keep, positive
from models.methods.base import Batch, Method, Step
from models.networks.base import AnyBitNetwork
from orchestrator.job.load import load_each_bit_width, load_job
from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_method, build_network

JOB = REPOSITORY / "jobs" / "cifar10_r18.yaml"


def main() -> None:
    """Measure, print the ratios, and keep them in benchmarks/results."""
    parser = argparse.ArgumentParser(description="What a CoQuant step costs.")
    parser.add_argument("--rounds", type=positive, default=7)
    parser.add_argument("--batch", type=positive, default=32)
    parser.add_argument("--threads", type=positive, default=1)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    given = parser.parse_args()
    kind = torch.device(given.device).type
    about = conditions(
        f"python -m benchmarks.coquant_step --rounds {given.rounds} --batch {given.batch} "
        f"--threads {given.threads} --device {given.device}",
        kind,
    )
    torch.set_num_threads(given.threads)
    seconds = measure(given.rounds, given.batch, torch.device(given.device))
    median = {name: statistics.median(times) for name, times in seconds.items()}
    figures = {
        "job": str(JOB.relative_to(REPOSITORY)),
        "median_seconds": median,
        "coquant / four individual": median["coquant"] / median["four individual"],
        "not shared / shared": median["coquant, not shared"] / median["coquant"],
    }
    keep(f"coquant_step_{kind}", {**about, **figures})


def measure(
    rounds: int, batch: int, device: torch.device, *overrides: str
) -> dict[str, list[float]]:
    """Return the seconds of each round by what was measured, one after another in each round.

    overrides: of the job, as `--set` takes them.
    """
    inputs = torch.randn(batch, 3, 32, 32, device=device)
    labels = torch.randint(10, (batch,), device=device)
    joint = parts(load_job(JOB, overrides).job, device)
    alone = [parts(one.job, device) for one in load_each_bit_width(JOB, overrides)]

    def individual() -> None:
        for network, method in alone:
            train_step(network, method, inputs, labels)

    measured: dict[str, Callable[[], None]] = {
        "coquant": lambda: train_step(*joint, inputs, labels),
        "coquant, not shared": lambda: train_step(*joint, inputs, labels, share=False),
        "four individual": individual,
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


def parts(job: Job, device: torch.device) -> tuple[AnyBitNetwork, Method]:
    """Return the network of a job, ready to train, and its method."""
    network, method = build_network(job, 10), build_method(job)
    return network.to(device).train(), method


def train_step(
    network: AnyBitNetwork,
    method: Method,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    share: bool = True,
) -> None:
    """One optimizer step; without `share` every pass quantizes the weights from the start."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    step = Step(
        seed=0, index=0, epoch=0, epochs=10, progress=0.0, sum_over_ranks=lambda tensor: tensor
    )
    for _, loss, _ in method.losses(network, [Batch(inputs, labels)], step):
        torch.autograd.backward(loss)
        if not share:
            write_weights(network)
    optimizer.step()


@torch.no_grad()
def write_weights(network: AnyBitNetwork) -> None:
    """Write the weights as they are: what was computed of them counts as out of date."""
    for parameter in network.parameters():
        parameter.mul_(1)


if __name__ == "__main__":
    main()
