"""What a job says about layers and parameters, checked against its network without weights."""

from collections.abc import Iterable, Iterator

import torch

import models
from models.methods import METHODS
from models.networks.base import AnyBitNetwork
from models.precision import Precision, precisions_of
from models.quantizers import WEIGHT_QUANTIZERS
from models.quantizers.settings import DEFAULT
from models.roles import Role, roles
from models.table import resolve
from orchestrator.job.merge import Merged
from orchestrator.job.schema import Job
from orchestrator.job.source import Keys
from orchestrator.job.words import suggestion

_ROLES: tuple[Role, ...] = ("depthwise", "step", "method")
"""Roles that not every network and method has parameters of."""

_OF_CODES = (("optimizer", "clip"), ("training", "arithmetic"))
"""Settings beside `quantizer` that mean nothing where nothing is quantized."""

_MODEL: Keys = ("model", "name")
_ACTIVATIONS: Keys = ("quantizer", "activations", "name")
_ZERO_SHOT: Keys = ("evaluate", "zero_shot_source")
_CLIP_START: Keys = ("quantizer", "activations", "clip_start")
_SIGNED: Keys = ("quantizer", "activations", "signed_inputs")
_CLIP_INITS: tuple[Keys, ...] = tuple(
    ("quantizer", "activations", key) for key in ("clip_init", "head_clip_init")
)
_CLIP_RATES: tuple[Keys, ...] = tuple(("optimizer", "clip", key) for key in ("lr", "weight_decay"))

_LAYERS = "they are called as in the network's state dict"


def blank_network(job: Job) -> AnyBitNetwork:
    """Build the network of a job on torch's meta device, for all points that it runs at.

    That takes a tenth of a second. Raises ValueError where a quantizer cannot do what they ask.
    """
    with torch.device("meta"):
        return models.build_network(
            job.model, job.quantizer, precisions=_precisions(job), num_classes=1
        )


def _precisions(job: Job) -> tuple[Precision, ...]:
    """Return those of all points, trained or evaluated at the end."""
    return precisions_of([*job.points, *job.evaluate.operating_points])


def network_mistakes(job: Job) -> Iterator[tuple[Keys, str]]:
    """Yield the place in the job and the problem of what its network does not have or cannot do.

    The network is built only where something may not fit it: layers by name, 1-bit activations.
    """
    named = [
        (name, layer)
        for name, layers in job.quantizer.assignment.items()
        for layer in layers
        if layer != DEFAULT
    ]
    if not named and all(own.activations > 1 for own in _precisions(job)):
        return
    try:
        known = {info.name for info in blank_network(job).quantized_layers}
    except ValueError as error:
        yield ("quantizer", "activations"), f"{error}."
        return
    for name, layer in named:
        if layer not in known:
            problem = "the network has no such layer." + suggestion(layer, known, where=_LAYERS)
            yield ("quantizer", "assignment", name, layer), problem


def without_parameters(job: Job) -> list[str]:
    """Return a warning for each role with settings of its own that no parameter has."""
    given = [role for role in _ROLES if getattr(job.optimizer, role) is not None]
    if not given:
        return []
    method = resolve(METHODS, job.method.name)(job.method, job.points)
    found = {named.role for named in roles(blank_network(job), method)}
    return [
        f"optimizer.{role}: no effect, neither the network nor the method has such parameters."
        for role in given
        if role not in found
    ]


def useless_for_activations(job: Job, merged: Merged) -> list[str]:
    """Return a warning for each setting of what the network's activations do not have.

    Those of a weaker source than the one that says which activations, or which network, were meant
    for others.
    """
    if not job.method.quantized:
        return []
    own = job.quantizer.activations
    warnings: list[str] = []
    if getattr(own, "clip_start", None) == "data":
        started = _given(merged, _CLIP_INITS, since=_CLIP_START)
        warnings += [
            f"{key}: no effect, clip levels start from data (clip_start)." for key in started
        ]
    rates = _given(merged, _CLIP_RATES, since=_ACTIVATIONS)
    if rates and _have_no_clip_levels(job):
        steps = "; the rate of their steps is optimizer.step" if own.name == "lsq_floor" else ""
        reason = f"'{own.name}' activations have no clip levels{steps}"
        warnings += [f"{key}: no effect, {reason}." for key in rates]
    signs = _given(merged, (_SIGNED,), since=_MODEL)
    if signs and not any(quantizer.signed for quantizer in blank_network(job).activations()):
        warnings += [f"{key}: no effect, the network has no signed inputs." for key in signs]
    return warnings


def no_mean_of_clip_levels(job: Job, merged: Merged) -> list[str]:
    """Return a warning where points are to take means of clip levels and there are none."""
    is_mean = job.evaluate.points and job.evaluate.zero_shot_source == "mean"
    given = _given(merged, (_ZERO_SHOT,), since=_ACTIVATIONS) if is_mean else []
    if not given or not _have_no_clip_levels(job):
        return []
    name = job.quantizer.activations.name
    return [f"{key}: mean is as high, '{name}' activations have no clip levels." for key in given]


def _have_no_clip_levels(job: Job) -> bool:
    if job.quantizer.activations.name == "pact":
        return False
    return all(named.role != "clip" for named in roles(blank_network(job)))


def _given(merged: Merged, keys: Iterable[Keys], *, since: Keys) -> list[str]:
    """Return those of some keys that are given by the source of another one or a stronger one."""
    return [
        ".".join(one)
        for one in keys
        if one in merged.sources
        and not (since in merged.sources and merged.is_weaker(one, than=since))
    ]


def float_and_quantized(job: Job, merged: Merged) -> list[str]:
    """Return a warning for each setting of what is quantized beside a float method's name.

    Those of a weaker source, such as a file that the job extends, were meant for another method.
    A weight quantizer may clamp float weights as well.
    """
    if job.method.quantized:
        return []
    weights = job.quantizer.weights
    clamps = resolve(WEIGHT_QUANTIZERS, weights.name).changes_float(weights)
    reason = f"the method '{job.method.name}' quantizes nothing"
    return [
        f"{'.'.join(keys)}: no effect, {reason}."
        for keys in merged.sources
        if (keys[0] == "quantizer" or keys[:2] in _OF_CODES)
        and not (clamps and keys[:2] == ("quantizer", "weights"))
        and not any(other[:-1] == keys for other in merged.sources)
        and not merged.is_weaker(keys, than=("method", "name"))
    ]
