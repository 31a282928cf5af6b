"""What a CoQuant step at 8, 6, 4 and 2 bits costs, against other steps measured in the same run.

    python -m benchmarks.step [--setting cifar_w64] [--arithmetic auto] [--profile]

It is the step that a worker of a run takes, in the middle of a training, with swaps and teachers.
The others: a step of the same network in float, in plain torch, with its default memory format or
the channels last; one over all bit-widths with fake quantization written plainly; and four that
train one bit-width each. All include the optimizer, none the loading of data.

CPU seconds are those of this process on all its threads, whatever else runs on the machine; with a
GPU only those on the wall tell what a step takes. Peaks of memory: see benchmarks/memory.py.
"""

import json

from benchmarks import sides
from benchmarks.breakdown import breakdown
from benchmarks.comparison import Build, command_line, compared, measure
from benchmarks.memory import peak_memory
from benchmarks.results_file import conditions, keep
from benchmarks.settings import Setting

STEPS: dict[str, Build] = {
    "coquant": sides.coquant,
    "float": sides.float_step,
    "float_channels_last": sides.float_step_channels_last,
    "fake_quantized": sides.fake_quantized,
    "four_individual": sides.four_individual,
}

IN_GROUP: dict[str, Build] = {"coquant_nccl": sides.coquant_in_group}


def main() -> None:
    """Measure, print the figures, and keep them in benchmarks/results."""
    given = command_line("step")
    setting = given.setting
    if given.profile:
        print(json.dumps(breakdown(sides.coquant(setting)), indent=2))
        return
    about = conditions(given.command, setting.device) | setting.described()
    builds = STEPS | (IN_GROUP if setting.device == "cuda" else {})
    seconds = measure({n: build(setting) for n, build in builds.items()}, given.rounds)
    figures = {**compared(seconds, "coquant"), **peaks(setting, given.threads)}
    keep(given.name, {**about, **figures})


def peaks(setting: Setting, threads: int) -> dict[str, object]:
    """Return the most memory that a step takes, and CoQuant's over the others'.

    Four individual trainings are left out: nobody has all of them in memory.
    """
    builds = {name: build for name, build in STEPS.items() if name != "four_individual"}
    found = {name: peak_memory(build, setting, threads) for name, build in builds.items()}
    own, others = found["coquant"], {n: peak for n, peak in found.items() if n != "coquant"}
    ratios = {
        f"{way}_ratio": {n: round(own[way] / peak[way], 3) for n, peak in others.items()}
        for way in own
    }
    return {"peak_bytes": found, **ratios}


if __name__ == "__main__":
    main()
