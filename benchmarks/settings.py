"""What is measured: networks, sizes of batches and images, and devices, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from benchmarks import plain
from benchmarks.results_file import REPOSITORY
from orchestrator.job.load import load_each_bit_width, load_job
from orchestrator.job.schema import Job
from orchestrator.train.arithmetic import choose
from orchestrator.train.ranks import Ranks


@dataclass(frozen=True)
class Setting:
    """A network and how it is trained.

    job: the file in `jobs` that trains the network. network: builds it for a number of classes, in
    plain torch. batch, size: samples of a step, and height and width of their images.
    overrides: of the job, as `--set` takes them.
    arithmetic, precision: of the job; on a GPU the float step has the precision, too, by autocast.
    """

    job: str
    network: Callable[[int], nn.Module]
    batch: int
    size: int
    classes: int = 10
    overrides: tuple[str, ...] = ()
    device: str = "cpu"
    arithmetic: str = "auto"
    precision: str = "float32"

    def load(self) -> Job:
        """Load the job that trains all bit-widths with CoQuant."""
        return load_job(REPOSITORY / "jobs" / self.job, [*self._given(), "method.p1=0.7"]).job

    def load_each(self) -> list[Job]:
        """Load the jobs that train one bit-width each."""
        path = REPOSITORY / "jobs" / self.job
        return [one.job for one in load_each_bit_width(path, self._given())]

    def described(self) -> dict[str, object]:
        """Return what a result file says of it, with the arithmetic that `orch` computes in."""
        chosen = choose(self.load(), Ranks(device=torch.device(self.device))).stated
        return {
            "job": self.job,
            "batch": self.batch,
            "size": self.size,
            "arithmetic": chosen.kind,
            "kernel": chosen.kernel,
            "backward": chosen.backward,
        }

    def _given(self) -> list[str]:
        """Return what replaces the job's own: with random labels, its rate could diverge."""
        return [
            "start.from=scratch",
            "optimizer.lr=0.001",
            f"training.arithmetic={self.arithmetic}",
            f"training.precision={self.precision}",
            *self.overrides,
        ]


_W32 = ("model.widths=[32, 64, 128, 256]",)
_R50 = ("model.name=resnet50",)

SETTINGS = {
    "cifar_w64": Setting("cifar10_r18.yaml", plain.resnet18_cifar, 64, 32),
    "cifar_w32": Setting(
        "cifar10_r18.yaml", partial(plain.resnet18_cifar, width=32), 64, 32, overrides=_W32
    ),
    "imagenet": Setting("imagenet_r18.yaml", plain.resnet18, 16, 112, 1000),
    "mobilenet": Setting("cifar10_mbv2.yaml", plain.MobileNetV2Cifar, 64, 32),
    "gpu_r18": Setting("imagenet_r18.yaml", plain.resnet18, 256, 224, 1000, device="cuda"),
    "gpu_r50": Setting("imagenet_r18.yaml", plain.resnet50, 128, 224, 1000, _R50, "cuda"),
}
