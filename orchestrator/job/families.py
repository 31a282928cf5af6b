"""Which parts of a job are components: their keys depend on the name that the part gives."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from models import NETWORKS
from models.methods import METHODS
from models.quantizers import ACTIVATION_QUANTIZERS, WEIGHT_QUANTIZERS
from orchestrator.data import DATASETS
from orchestrator.job.optimizer import OPTIMIZERS
from orchestrator.job.source import Keys


class Family(NamedTuple):
    """Components that can stand in one place of a job.

    what: what one is called. table: name -> "module:attribute", an attribute of which is
    `Settings`. default: the name where the job gives none; without one the name is required.
    """

    what: str
    table: Mapping[str, str]
    default: str | None = None


FAMILIES: dict[Keys, Family] = {
    ("model",): Family("model", NETWORKS),
    ("method",): Family("method", METHODS),
    ("data",): Family("data", DATASETS),
    ("optimizer",): Family("optimizer", OPTIMIZERS, "sgd"),
    ("quantizer", "weights"): Family("weight quantizer", WEIGHT_QUANTIZERS, "coquant_trunc"),
    ("quantizer", "activations"): Family("activation quantizer", ACTIVATION_QUANTIZERS, "pact"),
}


def value_at(values: Any, keys: Keys) -> Any:
    """Return what stands at a place of a job's values; None where nothing does."""
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def names_in(values: Any) -> Iterator[tuple[Keys, Any]]:
    """Yield for each family the name that a job's values give, or its default."""
    for keys, family in FAMILIES.items():
        section = value_at(values, keys)
        given = section.get("name") if isinstance(section, Mapping) else section
        yield keys, family.default if given is None else given
