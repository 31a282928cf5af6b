"""Start a network from the weights of another one that was trained at some of its precisions."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.networks.base import AnyBitNetwork
from models.precision import FLOAT, Precision
from models.quantizers.learned_step import Ranged

_PRECISION = r"(?:\d+bit|w\d+a\d+)"
_SET = re.compile(rf"{_PRECISION}(?:_to_{_PRECISION})?|shared")
"""The part of a tensor's name that says at which precision, or transition, it is used."""

_COUNTER = "num_batches_tracked"
_STEPS = " steps"

_KINDS = {
    "clip_levels": "clip levels",
    "lower_clip_levels": "clip levels",
    "steps": "learned steps",
    "input_steps": "learned steps of activations",
    "ranges": "ranges of activations",
}
"""What a quantizer's tensors are, by a part of their names."""


class Untrained(NamedTuple):
    """Precisions at which a network was not trained at all, or only in some layers.

    steps: whether some of its learned steps, or all, were not.
    """

    wholly: list[str]
    partly: list[str]
    steps: bool


class _Place(NamedTuple):
    """What a tensor is, and the precision at which it is used; None when all share it."""

    what: str
    at: str | None


Places = dict[str, _Place]
"""The place of each tensor, by name."""


class _Fit(NamedTuple):
    """How one network's tensors are taken from another's. sources: names there, by names here."""

    sources: dict[str, str]
    ours: Places
    theirs: Places
    untrained: Untrained


def load_checkpoint_weights(
    network: nn.Module, trained: Mapping[str, Tensor], *, borrow: bool = False
) -> Untrained:
    """Copy the weights of a trained network; return the precisions that it was not trained at.

    For these, batch norm, clip levels and steps keep their initial values; those of precisions
    that `network` does not run at are ignored. A precision that the trained network lacks takes
    what float weights have there at the same activations (the second stage of Bit-Mixer). What the
    trained network shares and this one switches is copied to each precision. With `borrow` a
    precision that it was not trained at takes what the nearest one has, of two the higher one's,
    and steps that span the same range.
    Any other difference raises ValueError; nothing is copied then.
    """
    own = network.state_dict()
    fit = _fit(own, trained, _batches(trained), borrow=borrow)
    with torch.no_grad():
        for name, source in fit.sources.items():
            given = trained[source]
            ratio = _ratio(network, name, fit.ours[name], fit.theirs[source])
            own[name].copy_(given if ratio == 1 else given * ratio)
    return fit.untrained


def check_checkpoint_weights(
    network: nn.Module, source: nn.Module, *, borrow: bool = False
) -> Untrained:
    """Do as `load_checkpoint_weights` with the weights that a network will have; copy nothing.

    source: a network that will be trained at all its precisions. Both may be without numbers, on
    torch's meta device. Raises ValueError where the weights will not fit.
    """
    return _fit(network.state_dict(), source.state_dict(), {}, borrow=borrow).untrained


def check_same_codes(network: AnyBitNetwork, trained: AnyBitNetwork) -> None:
    """Raise ValueError where weights are read as other codes than they were trained as.

    Both may be without numbers, on torch's meta device.
    """
    both = zip(network.convolutions(), trained.convolutions(), strict=True)
    for own, theirs in ((one.quantizer.origin, other.quantizer.origin) for one, other in both):
        if own != theirs:
            raise ValueError(
                f"its weights were trained as codes of {theirs} bits; read as codes of {own} bits "
                "they are other weights"
            )


def _fit(
    own: Mapping[str, Tensor],
    trained: Mapping[str, Tensor],
    batches: Mapping[str, list[int]],
    *,
    borrow: bool,
) -> _Fit:
    """Match the tensors of two networks by names and shapes. Raises ValueError if they differ."""
    never = {at for at, counts in batches.items() if not any(counts)}
    ours = _places(own)
    theirs = {name: place for name, place in _places(trained).items() if place.at not in never}
    sources = _sources(ours, theirs, borrow=borrow)
    both = _in_both(ours, theirs)
    _check(sources, ours, theirs, both)
    _check_shapes(sources, own, trained)
    wholly = dict.fromkeys(at for name, (_, at) in ours.items() if name not in sources)
    partly = [at for at, counts in batches.items() if at in both and not all(counts)]
    own_sets = [at for at in wholly if at is not None and not at.endswith(_STEPS)]
    steps = any(at and at.endswith(_STEPS) for at in wholly)
    return _Fit(sources, ours, theirs, Untrained(own_sets, partly, steps))


def _places(names: Iterable[str]) -> Places:
    places: Places = {}
    for name in names:
        parts = name.split(".")
        at = next((part for part in parts if _SET.fullmatch(part)), None)
        what = ".".join(part for part in parts if part != at)
        # A step belongs to the weights' bit-width, whatever the activations have.
        own = f"{at}{_STEPS}" if "steps" in parts else at
        places[name] = _Place(what, None if at == "shared" else own)
    return places


def _in_both(ours: Places, theirs: Places) -> set[str | None]:
    """Return the precisions of both; those of steps as well where only one of the two has any.

    That says something only where both quantize weights.
    """
    own, other = ({at for _, at in places.values()} for places in (ours, theirs))
    steps = [{at for at in one if at and at.endswith(_STEPS)} for one in (own, other)]
    quantized = all(any(map(_quantizes_weights, one)) for one in (own, other))
    unlike = quantized and not all(steps)
    return (own & other) | (steps[0] | steps[1] if unlike else set())


def _quantizes_weights(at: str | None) -> bool:
    own = "" if at is None else at.removesuffix(_STEPS).rpartition("_to_")[2]
    return bool(own) and Precision.parse(own).weights != FLOAT


def _batches(trained: Mapping[str, Tensor]) -> dict[str, list[int]]:
    """Return for each precision how many batches each of its sets of batch norm has seen."""
    counts: dict[str, list[int]] = {}
    for name, (what, at) in _places(trained).items():
        if at is not None and what.endswith(f".{_COUNTER}"):
            counts.setdefault(at, []).append(int(trained[name]))
    return counts


def _sources(ours: Places, theirs: Places, *, borrow: bool) -> dict[str, str]:
    """Return the name of the tensor that each tensor is copied from, where there is one."""
    named = {place: name for name, place in theirs.items()}
    found: dict[str, str] = {}
    for name, place in ours.items():
        borrowed = _nearest(place, named) if borrow else place
        options = (*_choices(place), borrowed)
        if source := next((named[one] for one in options if one in named), None):
            found[name] = source
    return found


def _nearest(place: _Place, known: Iterable[_Place]) -> _Place:
    """Return the place of the same kind at the nearest precision, itself if there is none."""
    others = {
        precision: one
        for one in known
        if one.what == place.what and (precision := _precision(one)) is not None
    }
    own = _precision(place)
    return others[own.nearest(others)] if own and others else place


def _precision(place: _Place) -> Precision | None:
    """Return the precision at which a tensor is used; None for a shared one or a transition."""
    label = (place.at or "").removesuffix(_STEPS)
    return Precision.parse(label) if label and "_to_" not in label else None


def _ratio(network: nn.Module, name: str, own: _Place, source: _Place) -> float:
    """Return the factor with which a learned step of another precision is taken; 1 for the rest."""
    owner = network.get_submodule(name.rpartition(".")[0])
    here, there = _precision(own), _precision(source)
    if here is None or there is None or not isinstance(owner, Ranged):
        return 1.0
    return owner.ratio(here, there)


def _choices(place: _Place) -> Iterator[_Place]:
    """Yield the places that a tensor can be copied from, the best one first."""
    yield place
    if place.at is not None:
        precisions, *rest = place.at.split(" ")
        floats = [_with_float_weights(key) for key in precisions.split("_to_")]
        yield _Place(place.what, " ".join(["_to_".join(floats), *rest]))
    yield _Place(place.what, None)


def _with_float_weights(key: str) -> str:
    return Precision(FLOAT, Precision.parse(key).activations).key


def _check(sources: Mapping[str, str], ours: Places, theirs: Places, both: set[str | None]) -> None:
    """Raise ValueError if something is missing or unexpected that not only one of the two has."""
    used = set(sources.values())
    missing = [n for n, (_, at) in ours.items() if n not in sources and at in {None, *both}]
    unexpected = [n for n, (_, at) in theirs.items() if n not in used and at in {None, *both}]
    if not missing and not unexpected:
        return
    norms = _norms(ours) | _norms(theirs)
    kinds: dict[str | None, list[str]] = {}
    for what, _ in ((ours | theirs)[name] for name in (*missing, *unexpected)):
        kinds.setdefault(_kind(what, norms), []).append(what)
    if None in kinds:
        raise ValueError(_another(missing=missing, unexpected=unexpected))
    unlike = [f"{k}: {_sets(w, theirs)} instead of {_sets(w, ours)}" for k, w in kinds.items()]
    raise ValueError(
        "these weights were trained by a method or by quantizers that need another layout "
        f"of the network ({'; '.join(unlike)}); start from a run whose layout is the same"
    )


def _check_shapes(
    sources: Mapping[str, str], own: Mapping[str, Tensor], trained: Mapping[str, Tensor]
) -> None:
    unlike = [
        f"{name} {tuple(trained[source].shape)} instead of {tuple(own[name].shape)}"
        for name, source in sources.items()
        if trained[source].shape != own[name].shape
    ]
    if unlike:
        raise ValueError(_another(**{"of another shape": unlike}))


def _another(**found: list[str]) -> str:
    mistakes = [f"{len(names)} {what} ({_some(names)})" for what, names in found.items() if names]
    return f"these are the weights of another network: {'; '.join(mistakes)}"


def _norms(places: Places) -> set[str]:
    """Return the names of all batch norms."""
    whats = (what for what, _ in places.values())
    return {what.rpartition(".")[0] for what in whats if what.endswith(f".{_COUNTER}")}


def _kind(what: str, norms: set[str]) -> str | None:
    """Return what a tensor belongs to if methods or quantizers decide how many of it there are."""
    if what.rpartition(".")[0] in norms:
        return "batch norm"
    return next((_KINDS[part] for part in what.split(".") if part in _KINDS), None)


def _sets(whats: list[str], places: Places) -> str:
    """Return the precisions that have some tensors of their own, "shared" or "none"."""
    found = dict.fromkeys(place.at for place in places.values() if place.what in whats)
    own = [at.removesuffix(_STEPS) for at in found if at is not None]
    return ", ".join(own) or ("shared" if found else "none")


def _some(names: list[str], shown: int = 3) -> str:
    return ", ".join(names[:shown]) + ", ..." * (len(names) > shown)
