"""What a job says about layers and parameters, checked against its network without weights."""

from collections.abc import Iterator

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
    since = merged.rank(("method", "name"))
    return [
        f"{'.'.join(keys)}: no effect, {reason}."
        for keys in merged.sources
        if (keys[0] == "quantizer" or keys[:2] in _OF_CODES)
        and not (clamps and keys[:2] == ("quantizer", "weights"))
        and not any(other[:-1] == keys for other in merged.sources)
        and merged.rank(keys) >= since
    ]
