"""What an evaluation at 8, 6, 4 and 2 bits costs, against one of the same network in float.

    python -m benchmarks.evaluate [--setting cifar_w64] [--arithmetic auto] [--profile]

It is the evaluation that the workers of a run make after each epoch, of four batches at all
bit-widths. The float network is in plain torch, with its default memory format or the channels
last. Seconds are counted as in benchmarks/step.py.
"""

import json

from benchmarks import sides
from benchmarks.breakdown import breakdown
from benchmarks.comparison import Build, command_line, compared, measure
from benchmarks.results_file import conditions, keep

EVALUATIONS: dict[str, Build] = {
    "four_bit_widths": sides.evaluation,
    "float": sides.float_evaluation,
    "float_channels_last": sides.float_evaluation_channels_last,
}


def main() -> None:
    """Measure, print the figures, and keep them in benchmarks/results."""
    given = command_line("evaluate")
    setting = given.setting
    if given.profile:
        print(json.dumps(breakdown(sides.evaluation(setting)), indent=2))
        return
    about = conditions(given.command, setting.device) | setting.described()
    seconds = measure({n: build(setting) for n, build in EVALUATIONS.items()}, given.rounds)
    figures = compared(seconds, "four_bit_widths")
    keep(given.name, {**about, **figures})


if __name__ == "__main__":
    main()
