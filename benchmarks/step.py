"""What a CoQuant step at 8, 6, 4 and 2 bits costs, against other steps measured in the same run.

    python -m benchmarks.step [--setting cifar_w64] [--rounds 7] [--threads 2] [--profile]

It is the step that a worker of a run takes, in the middle of a training, with swaps and teachers.
The others: a step of the same network in float, in plain torch, with its default memory format or
the channels last; one over all bit-widths with fake quantization written plainly; and four that
train one bit-width each. All include the optimizer, none the loading of data.

CPU seconds are those of this process on all its threads, whatever else runs on the machine; with a
GPU only those on the wall tell what a step takes. Peaks of memory: see benchmarks/memory.py.
"""

import json

import torch

from benchmarks import sides
from benchmarks.breakdown import breakdown
from benchmarks.comparison import Build, command_line, compared, measure
from benchmarks.memory import peak_memory
from benchmarks.results_file import conditions, keep
from benchmarks.settings import SETTINGS, Setting

STEPS: dict[str, Build] = {
    "coquant": sides.coquant,
    "float": sides.float_step,
    "float_channels_last": sides.float_step_channels_last,
    "fake_quantized": sides.fake_quantized,
    "four_individual": sides.four_individual,
}


def main() -> None:
    """Measure, print the figures, and keep them in benchmarks/results."""
    given = command_line("step")
    setting = SETTINGS[given.setting]
    about = conditions(given.command, setting.device)
    torch.set_num_threads(given.threads)
    if given.profile:
        print(json.dumps(breakdown(sides.coquant(setting)), indent=2))
        return
    seconds = measure({n: build(setting) for n, build in STEPS.items()}, given.rounds)
    figures = {**compared(seconds, "coquant"), **peaks(setting, given.threads)}
    keep(f"step_{given.setting}", {**about, **setting.described(), **figures})


def peaks(setting: Setting, threads: int) -> dict[str, object]:
    """Return the most memory that each of the steps takes, and CoQuant's over the others'."""
    bytes_ = {name: peak_memory(build, setting, threads) for name, build in STEPS.items()}
    own = bytes_.pop("coquant")
    ratios = {
        f"{way}_ratio": {n: round(own[way] / peak[way], 3) for n, peak in bytes_.items()}
        for way in own
    }
    return {"peak_bytes": {"coquant": own, **bytes_}, **ratios}


if __name__ == "__main__":
    main()
