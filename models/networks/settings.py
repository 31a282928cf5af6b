"""The settings of a network in a job file."""

from typing import Self

from pydantic import BaseModel, Field, model_validator

from models.layers.initialize import InitWeights

LARGEST_WIDTH = 64
MOST_CHANNELS = 65_536
MOST_BLOCKS = 1000


class NetworkSettings(BaseModel, frozen=True, extra="forbid"):
    """The settings all networks share; each network adds its name, widths and depths."""

    name: str
    widths: tuple[int, ...] = Field(description="channels of each stage")
    depths: tuple[int, ...] = Field(description="blocks of each stage")
    width: float = Field(
        1.0,
        gt=0,
        le=LARGEST_WIDTH,
        allow_inf_nan=False,
        description="multiplies the channels of the stages",
    )
    num_segments: int | None = Field(
        None, ge=1, description="frames per video (TSN); none for images"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="before the linear layer")
    stem_bn_shared: bool = Field(
        True, description="one set of stem batch norm for all bit-widths, or one for each"
    )
    init_weights: InitWeights = Field(
        "kaiming_fan_out",
        description="how weights are drawn: torch's own default, or as torchvision does",
    )

    def scaled(self, channels: int) -> int:
        """Return channels times the width multiplier: a whole number, at least 1."""
        return max(1, round(self.width * channels))

    def channels(self, width: int) -> tuple[int, int]:
        """Return the channels inside and behind the blocks of a stage of a width."""
        return self.scaled(width), self.scaled(width)

    @model_validator(mode="after")
    def _stages_agree(self) -> Self:
        if not self.widths or len(self.widths) != len(self.depths):
            raise ValueError(
                f"widths and depths have one entry for each stage, not {len(self.widths)} "
                f"and {len(self.depths)}"
            )
        if min(*self.widths, *self.depths) < 1:
            raise ValueError("widths and depths are at least 1")
        if self.scaled(max(self.widths)) > MOST_CHANNELS or sum(self.depths) > MOST_BLOCKS:
            raise ValueError(
                f"no stage is wider than {MOST_CHANNELS} channels, and no network has more than "
                f"{MOST_BLOCKS} blocks"
            )
        return self
