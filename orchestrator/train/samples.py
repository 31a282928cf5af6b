"""The training samples of a run: they are the same on all its ranks, and when it goes on.

Their order and their labels follow from their list, so that one sample more or less would shift all
others, silently.
"""

import hashlib
import re
from dataclasses import dataclass

import numpy as np

from orchestrator.data import Dataset
from orchestrator.errors import CheckpointMismatch, UsageError
from orchestrator.train.ranks import Ranks

_PLACES = re.compile(r"\A(?:\d{3}_)+")
"""What `orch data prepare` puts before the name of an image in a shard."""
_AT_ONCE = 10_000


@dataclass(frozen=True)
class Samples:
    """What a checkpoint keeps of a list of samples.

    classes: their names. counts: the samples of each. digest: of all labels and names, in order.
    """

    classes: list[str]
    counts: list[int]
    digest: str

    @classmethod
    def of(cls, dataset: Dataset) -> "Samples":
        """Return the facts of a data set; a second for a million samples.

        Where the files are does not count, nor in which format: a prepared copy has the same ones.
        """
        count, classes = len(dataset), list(dataset.class_names)
        labels = np.fromiter(map(dataset.label, range(count)), np.int64, count)
        digest = hashlib.sha256(labels.tobytes())
        name = getattr(dataset, "file_name", dataset.source)
        for start in range(0, count, _AT_ONCE):
            some = map(name, range(start, min(start + _AT_ONCE, count)))
            text = "\0".join([*map(_bare, some), ""])
            digest.update(text.encode("utf-8", "surrogateescape"))
        counts = np.bincount(labels, minlength=len(classes)).tolist()
        return cls(classes, counts, digest.hexdigest())

    def check_ranks(self, ranks: Ranks, where: str) -> None:
        """Raise UsageError, on every rank, where the ranks have found different samples."""
        first, *others = ranks.gather(self)
        for rank, other in enumerate(others, start=1):
            if other != first:
                raise UsageError(
                    f"Rank {rank} finds other training samples in {where} than rank 0: "
                    f"{other._unlike(first, 'on rank 0')}. See that all nodes have the same files "
                    "there, and that nobody changes them."
                )

    def check_unchanged(self, before: "Samples | None", checkpoint: str, where: str) -> None:
        """Raise CheckpointMismatch where a run would go on with other samples or classes.

        before: what its checkpoint says; None in one of an older version.
        """
        if before is None or before == self:
            return
        kind = "samples" if before.classes == self.classes else "classes"
        raise CheckpointMismatch(
            f"{checkpoint} was trained on other {kind} than {where} has now: "
            f"{self._unlike(before, 'before')}. Restore the data set as it was, or start a new run "
            f"with these weights: --set start.from=checkpoint --set start.weights={checkpoint}"
        )

    def _unlike(self, other: "Samples", then: str) -> str:
        """Return in what these samples differ from others."""
        ours, theirs = len(self.classes), len(other.classes)
        for number, (name, known) in enumerate(zip(self.classes, other.classes, strict=False)):
            if name != known:
                counts = f"; {ours} classes, {theirs} {then}" * (ours != theirs)
                return f"class {number} is {name!r}, {known!r} {then}{counts}"
        if ours != theirs:
            return f"{ours} classes, {theirs} {then}"
        for name, count, past in zip(self.classes, self.counts, other.counts, strict=True):
            if count != past:
                both = f"{sum(self.counts)} samples, {sum(other.counts)} {then}"
                return f"{both}; for instance {count} of the class {name!r}, {past} {then}"
        return f"{sum(self.counts)} samples as {then}, but of other names or in another order"


def _bare(name: str) -> str:
    """Return what a file and its copy in another format have in common."""
    name = name.rpartition("/")[2]
    stem = (name.rpartition(".")[0] or name).replace(".", "_")
    return _PLACES.sub("", stem) if stem[:3].isdigit() else stem
