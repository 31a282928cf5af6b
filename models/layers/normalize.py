"""The first layer of every network: pixels in units of their standard deviation."""

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """Maps uint8 pixels to (pixel / 255 - mean) / std; float inputs pass unchanged.

    mean, std: of the channels red, green, blue, for pixels in [0, 1]; part of the state dict, so
    that a stored network knows the scale of its inputs. Kept in float64: float32 would round them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float64))

    def forward(self, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        """Return (..., channels, height, width) as dtype."""
        if inputs.is_floating_point():
            return inputs
        exact = torch.promote_types(dtype, torch.float32)
        scale = self.std.to(exact).mul(255)[:, None, None]
        shift = self.mean.to(exact).mul(255)[:, None, None]
        return ((inputs.to(exact) - shift) / scale).to(dtype)
