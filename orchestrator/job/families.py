"""The parts of a job that are components: their keys depend on the name that the part gives."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from models import NETWORKS
from models.methods import METHODS
from models.quantizers import ACTIVATION_QUANTIZERS, WEIGHT_QUANTIZERS
from models.table import is_place
from orchestrator.data import DATASETS
from orchestrator.job.merge import Merged
from orchestrator.job.optimizer import OPTIMIZERS
from orchestrator.job.own_code import problem_of
from orchestrator.job.source import Keys
from orchestrator.job.words import suggestion


class Family(NamedTuple):
    """The components that can stand in one place of a job.

    what: the word for one. table: name -> "module:attribute", an attribute of which is
    `Settings`. default: the name if the job gives none; without one the name is required.
    base: what a component of the user's own inherits from; empty where there can be none.
    """

    what: str
    table: Mapping[str, str]
    default: str | None = None
    base: str = ""


FAMILIES: dict[Keys, Family] = {
    ("model",): Family("model", NETWORKS, base="models.networks.base:AnyBitNetwork"),
    ("method",): Family("method", METHODS, base="models.methods.base:Method"),
    ("data",): Family("data", DATASETS),
    ("optimizer",): Family("optimizer", OPTIMIZERS, "sgd"),
    ("quantizer", "weights"): Family(
        "weight quantizer",
        WEIGHT_QUANTIZERS,
        "coquant_trunc",
        base="models.quantizers.base:WeightQuantizer",
    ),
    ("quantizer", "activations"): Family(
        "activation quantizer",
        ACTIVATION_QUANTIZERS,
        "pact",
        base="models.quantizers.base:ActivationQuantizer",
    ),
}


def value_at(values: Any, keys: Keys) -> Any:
    """Return what is at a place of a job's values; None if nothing is."""
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def names_in(values: Any) -> Iterator[tuple[Keys, Any]]:
    """Yield for each family the name that a job's values give, or its default."""
    for keys, family in FAMILIES.items():
        section = value_at(values, keys)
        given = section.get("name") if isinstance(section, Mapping) else section
        yield keys, family.default if given is None else given


def component_names(merged: Merged, mistakes: list[str], shown: str) -> dict[Keys, str]:
    """Return the name of each component; add a mistake for each missing or unknown one."""
    names: dict[Keys, str] = {}
    for keys, name in names_in(merged.values):
        family = FAMILIES[keys]
        table, default = family.table, family.default
        given = value_at(merged.values, keys)
        is_section = given is None or isinstance(given, dict)
        where = merged.where((*keys, "name") if isinstance(given, dict) else keys) or shown
        place = f"{where}  {'.'.join(keys)}.name"
        if not is_section:
            known = isinstance(name, str) and name in table
            example = name if known else default or min(table)
            expected = f"expected keys and values, such as {{name: {example}}}, got {given!r}."
            mistakes.append(f"{where}  {'.'.join(keys)}: {expected}")
        elif name is None:
            mistakes.append(f"{place}: is required; one of: {', '.join(sorted(table))}.")
        elif problem := _problem(name, family):
            mistakes.append(f"{place}: {problem}")
        else:
            names[keys] = name
    return names


def _problem(name: object, family: Family) -> str:
    """Return why a name is not that of a component; nothing if it is."""
    if isinstance(name, str) and is_place(name):
        return problem_of(name, family.what, family.base)
    if isinstance(name, str) and name in family.table:
        return ""
    return f"no {family.what} is called {name!r}.{suggestion(str(name), family.table)}"
