"""The start section of a job: its initial weights."""

from typing import Literal

from pydantic import BaseModel, Field


class Start(BaseModel, frozen=True, extra="forbid", populate_by_name=True):
    """Random weights, a float model's, or those of another run."""

    source: Literal["scratch", "float", "checkpoint"] = Field(
        "scratch",
        alias="from",
        description="random weights; a float model; or another run's weights with batch norm and "
        "clip levels of each bit-width it was trained at",
    )
    weights: str | None = Field(
        None,
        description="float: a state dict with torchvision's names (.pt, .pth or .safetensors), or "
        "a finished run of the method 'float'; checkpoint: a finished run, or a folder of a "
        "checkpoint; runs by name, which is one word, or by folder; all of these may be "
        "s3://BUCKET/KEY",
        json_schema_extra={"names": "weights"},
    )
