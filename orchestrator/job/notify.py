"""The notify section of a job: who hears of its end, and of what goes wrong."""

import re
from typing import Literal, get_args

from pydantic import BaseModel, Field, field_validator

Occasion = Literal["finished", "failed", "stopped", "restarted", "stalled"]


class Notify(BaseModel, frozen=True, extra="forbid"):
    """Posts to a webhook. Its address is a secret, so the job only names a variable that holds it.

    The variable travels with a job to the local cluster; on others it is set on their nodes.
    """

    webhook: str = Field(
        description="the environment variable with the webhook's address, ORCH_WEBHOOK..."
    )
    on: tuple[Occasion, ...] = Field(
        get_args(Occasion), description="finished, failed, stopped, restarted, stalled; all"
    )
    stalled_after: float = Field(
        10, gt=1, le=1000, description="a run is stalled after so many times its usual silence"
    )

    @field_validator("webhook")
    @classmethod
    def _names_a_variable(cls, webhook: str) -> str:
        if not re.fullmatch("ORCH_WEBHOOK[A-Z0-9_]*", webhook):
            raise ValueError(
                "expected the name of an environment variable that holds the address, ORCH_WEBHOOK "
                "or ORCH_WEBHOOK_TEAM; the address itself does not belong in a job"
            )
        return webhook
