"""How a rank's processor computes: TF32 on or off, deterministic algorithms or the fastest ones."""

import os

import torch

from orchestrator.job.schema import Training

DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}
"""The type in which quantized convolutions of values, and all backward passes, are computed."""


def set_numerics(training: Training) -> None:
    """Set torch's global switches for this process; called once, before anything is on the GPU."""
    torch.backends.cuda.matmul.allow_tf32 = training.tf32
    torch.backends.cudnn.allow_tf32 = training.tf32
    if training.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True)
