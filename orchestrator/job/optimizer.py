"""The optimizer's section of a job: learning rates, decay and the schedule of the rates."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

OPTIMIZERS = {
    "sgd": "orchestrator.job.optimizer:Sgd",
    "adam": "orchestrator.job.optimizer:Adam",
    "adamw": "orchestrator.job.optimizer:AdamW",
}

SHARED = ("weight", "depthwise", "bias")
"""Roles of parameters that all operating points share."""


class Role(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Settings for the parameters of one role, in place of the optimizer's own."""

    lr: float | None = Field(None, ge=0, description="the optimizer's own when it is not given")
    weight_decay: float | None = Field(None, ge=0, description="likewise")


class ClipRole(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """The learned bound of activations (alpha), one per quantizer and bit-width."""

    lr: float = Field(0.1, ge=0, description="alpha lr")
    weight_decay: float = Field(1e-4, ge=0, description="alpha wd")


class Optimizer(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Settings of all optimizers: learning rate, weight decay, and schedule."""

    name: str
    lr: float = Field(gt=0)
    weight_decay: float = Field(
        5e-4, ge=0, description="of every role without one of its own, except `method`"
    )
    schedule: Literal["multistep", "cosine", "constant"] = "cosine"
    schedule_per: Literal["epoch", "step"] = Field(
        "epoch", description="whether warm-up and cosine advance per epoch or per step"
    )
    milestones: tuple[int, ...] = Field((), description="epochs at which lr is multiplied by gamma")
    gamma: float = Field(0.1, gt=0, le=1)
    warmup_epochs: int = Field(0, ge=0, description="epochs in which lr rises linearly to its peak")
    warmup_start: float = Field(
        0.0, ge=0, le=1, description="where warm-up starts, as a share of lr"
    )
    shared_lr_div: bool = Field(
        True, description="weights and biases use lr / |B|, |B| being how many points a step trains"
    )
    clip: ClipRole = ClipRole()
    depthwise: Role | None = Field(None, description="weights of depth-wise convolutions")
    bias: Role | None = Field(
        None, description="biases of convolutions and linear layers, slopes of PReLUs"
    )
    norm: Role | None = Field(None, description="batch norm's weights and biases")
    step: Role | None = Field(None, description="learned quantization steps")
    method: Role | None = Field(
        None, description="parameters of the method, which do not decay by default"
    )

    def own(self) -> Mapping[str, Any]:
        """Return the settings that only this kind of optimizer has, by torch's names for them."""
        return {key: getattr(self, key) for key in type(self).model_fields if key not in _COMMON}

    def lr_of(self, role: str, losses: int) -> float:
        """Return the peak learning rate of the parameters of a role.

        losses: how many add up on a shared weight or bias in a step (|B|, but 1 where a step draws
        its bit-width); on a switched parameter it is one.
        """
        own = getattr(self, role, None)
        lr: float = self.lr if own is None or own.lr is None else own.lr
        return lr / losses if self.shared_lr_div and role in SHARED else lr

    def weight_decay_of(self, role: str) -> float:
        """Return the weight decay of the parameters of a role."""
        own = getattr(self, role, None)
        if own is None or own.weight_decay is None:
            return 0.0 if role == "method" else self.weight_decay
        decay: float = own.weight_decay
        return decay

    @model_validator(mode="after")
    def _milestones_belong_to_multistep(self) -> "Optimizer":
        if self.schedule == "multistep" and not self.milestones:
            raise ValueError("a multistep schedule needs milestones, for example [150, 225]")
        if [0, *self.milestones] != sorted({0, *self.milestones}):
            raise ValueError("milestones are epochs from 1 on, each later than the one before")
        return self


_COMMON = Optimizer.model_fields.keys()

Beta = Annotated[float, Field(ge=0, lt=1)]


class Sgd:
    """Stochastic gradient descent with momentum."""

    class Settings(Optimizer):
        """Its momentum."""

        name: Literal["sgd"] = "sgd"
        momentum: float = Field(0.9, ge=0, lt=1)
        nesterov: bool = Field(False, description="Nesterov's momentum")

        @model_validator(mode="after")
        def _nesterov_looks_along_momentum(self) -> "Sgd.Settings":
            if self.nesterov and not self.momentum:
                raise ValueError("nesterov needs a momentum above 0")
            return self


class Adam:
    """Adam; its decay is added to the gradient."""

    class Settings(Optimizer):
        """Its running averages."""

        name: Literal["adam"] = "adam"
        betas: tuple[Beta, Beta] = Field(
            (0.9, 0.999),
            description="decay rates of the averages of gradients and of their squares",
        )
        eps: float = Field(1e-8, gt=0, description="added to the denominator")


class AdamW:
    """Adam with decoupled decay: each step subtracts lr * weight_decay times the parameter."""

    class Settings(Adam.Settings):
        """As Adam's."""

        name: Literal["adamw"] = "adamw"  # type: ignore[assignment]


def optimizer_warnings(settings: Optimizer, epochs: int, given: Collection[str]) -> list[str]:
    """Return a line for each setting that has no effect.

    given: the keys of the section that the job sets itself.
    """
    warnings = [
        f"optimizer.{key}: no effect, {reason}."
        for key, reason in _switched_off(settings)
        if key in given
    ]
    late = [epoch for epoch in settings.milestones if epoch >= epochs]
    if settings.schedule == "multistep" and late:
        warnings.append(
            f"optimizer.milestones: {', '.join(map(str, late))} lie beyond the last of "
            f"{epochs} epochs and have no effect."
        )
    if settings.warmup_epochs >= epochs:
        warnings.append(
            f"optimizer.warmup_epochs: the run ends within the warm-up, after {epochs} of "
            f"{settings.warmup_epochs} epochs."
        )
    return warnings


def _switched_off(settings: Optimizer) -> list[tuple[str, str]]:
    """Return the keys that others disable, with the reason."""
    off = []
    schedule = f"the schedule is {settings.schedule}"
    if settings.schedule != "multistep":
        off += [("milestones", schedule), ("gamma", schedule)]
    if not settings.warmup_epochs:
        off.append(("warmup_start", "warmup_epochs is 0"))
        if settings.schedule != "cosine":
            off.append(("schedule_per", f"{schedule} and there is no warm-up"))
    return off
