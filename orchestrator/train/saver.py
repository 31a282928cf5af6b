"""Save checkpoints beside the training: one at a time, each over before the next begins."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType

from orchestrator.store.run_folder import Reached, RunFolder
from orchestrator.train.tidy import tidy

Commit = Callable[[Mapping[str, bytes], Reached], None]


class Saver:
    """A thread that saves. As a context: at its end, what was begun is saved, or has failed."""

    def __init__(self, folder: RunFolder, commit: Commit) -> None:
        self._folder = folder
        self._commit = commit
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="saver")
        self._going: Future[None] | None = None

    def start(
        self, contents: Mapping[str, bytes], at: Reached, best: int | None, *, is_best: bool
    ) -> None:
        """Begin to save, after what was begun before. Raises the error of that.

        best: the best epoch so far, from 1. is_best: the checkpoint is that of its end.
        """
        self.finish()
        self._going = self._pool.submit(partial(self._save, contents, at, best, is_best))

    def finish(self) -> None:
        """Wait until what was begun is saved. Raises its error."""
        going, self._going = self._going, None
        if going:
            going.result()

    def __enter__(self) -> "Saver":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for what was begun; an error on the way here is worth more than its error."""
        self._pool.shutdown()
        if error is None:
            self.finish()

    def _save(
        self, contents: Mapping[str, bytes], at: Reached, best: int | None, is_best: bool
    ) -> None:
        """Write a checkpoint, and the copy of the best epoch before it.

        Other copies are removed after it, so that there always is one of the epoch that the latest
        checkpoint names.
        """
        if best and is_best:
            self._folder.keep_as_best(contents, best)
        self._commit(contents, at)
        if best:
            tidy(self._folder, lambda: self._folder.drop_best_but(best))
