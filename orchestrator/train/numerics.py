"""How a rank's processor computes: TF32 on or off, deterministic algorithms or the fastest ones."""

import os

import torch

from orchestrator.job.schema import Training

DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}
"""The type in which quantized convolutions of values, and all backward passes, are computed."""


def set_numerics(training: Training) -> None:
    """Set torch's global switches for this process, whatever they were before.

    The number of threads is the one that Ray gives a worker, too late for a torch that was loaded
    before. cuBLAS reads its setting once, when the process first computes on a GPU.
    """
    if threads := os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads.split(",")[0]))
    torch.backends.cuda.matmul.allow_tf32 = training.tf32
    torch.backends.cudnn.allow_tf32 = training.tf32
    torch.use_deterministic_algorithms(training.deterministic)
    if training.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
