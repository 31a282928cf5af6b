"""Temporal segment network: an image network over one frame of each segment of a video.

Wang et al., Temporal Segment Networks; the consensus is the mean of the frames' logits.
"""

from torch import Tensor, nn

from models.networks.base import AnyBitNetwork
from models.precision import Assignment


class TemporalSegmentNetwork(AnyBitNetwork):
    """Takes clips (batch, segments, channels, height, width)."""

    def __init__(self, frames: AnyBitNetwork, num_segments: int) -> None:
        super().__init__(frames.precisions)
        self.frames = frames
        self.num_segments = num_segments

    @property
    def backbone(self) -> AnyBitNetwork:
        """The image network."""
        return self.frames

    @property
    def stem_norm(self) -> nn.Module:
        """That of the image network."""
        return self.frames.stem_norm

    def stem(self, inputs: Tensor) -> Tensor:
        """Run the image network's stem on every frame.

        Raises ValueError if the clips have another number of segments.
        """
        if inputs.dim() != 5 or inputs.shape[1] != self.num_segments:
            raise ValueError(
                f"clips are (batch, {self.num_segments}, channels, height, width), "
                f"not {tuple(inputs.shape)}"
            )
        return self.frames.stem(inputs.flatten(0, 1))

    def from_stem(self, features: Tensor, assignment: Assignment) -> Tensor:
        """Return the consensus of each clip (batch, classes)."""
        return consensus(self.frames.from_stem(features, assignment), self.num_segments)


def consensus(frame_logits: Tensor, num_segments: int) -> Tensor:
    """Average (batch * segments, classes) over the segments, before any softmax."""
    return frame_logits.reshape(-1, num_segments, frame_logits.shape[1]).mean(dim=1)
