"""How a rank's processor computes: TF32 on or off, deterministic algorithms or the fastest ones."""

import os

import torch

from orchestrator.job.schema import Training

CODE_DTYPES = {"float32": None, "tf32": torch.float32, "bfloat16": torch.bfloat16}
"""The type in which quantized convolutions multiply codes; with None they multiply values.

Codes are whole numbers up to 255, which TF32 and bfloat16 hold exactly. TF32 adds them up in
float32, so that nothing of an 8-bit network is lost; bfloat16 rounds the sums."""


def set_numerics(training: Training) -> None:
    """Set torch's global switches for this process; called once, before anything is on the GPU."""
    torch.backends.cuda.matmul.allow_tf32 = training.tf32
    torch.backends.cudnn.allow_tf32 = training.tf32
    if training.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True)
