"""What an evaluation at 8, 6, 4 and 2 bits costs, against one of the same network in float.

    python -m benchmarks.evaluate [--setting cifar_w64] [--rounds 7] [--threads 2] [--profile]

It is the evaluation that the workers of a run make after each epoch, of four batches at all
bit-widths. The float network is in plain torch, with its default memory format or the channels
last. Seconds are counted as in benchmarks/step.py.
"""

import json

import torch

from benchmarks import sides
from benchmarks.breakdown import breakdown
from benchmarks.comparison import Build, command_line, compared, measure
from benchmarks.results_file import conditions, keep
from benchmarks.settings import SETTINGS

EVALUATIONS: dict[str, Build] = {
    "four_bit_widths": sides.evaluation,
    "float": sides.float_evaluation,
    "float_channels_last": sides.float_evaluation_channels_last,
}


def main() -> None:
    """Measure, print the figures, and keep them in benchmarks/results."""
    given = command_line("evaluate")
    setting = SETTINGS[given.setting]
    about = conditions(given.command, setting.device)
    torch.set_num_threads(given.threads)
    if given.profile:
        print(json.dumps(breakdown(sides.evaluation(setting)), indent=2))
        return
    seconds = measure({n: build(setting) for n, build in EVALUATIONS.items()}, given.rounds)
    figures = compared(seconds, "four_bit_widths")
    keep(f"evaluate_{given.setting}", {**about, **setting.described(), **figures})


if __name__ == "__main__":
    main()
