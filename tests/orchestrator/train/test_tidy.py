"""A bucket that does not let go of old checkpoints: the run goes on, and they go later."""

from dataclasses import dataclass

import pytest

from orchestrator.store import s3_client
from orchestrator.store.run_folder import Reached, RunFolder
from orchestrator.train.context import FolderContext
from orchestrator.train.ranks import Ranks
from tests.unreliable import Mood, Unreliable, Weather, on_the_way_to

DENIED = b"<Error><Code>AccessDenied</Code><Message>No.</Message></Error>"


@dataclass
class KeepsFiles(Weather):
    """Removes manifests, and no other file of a checkpoint."""

    way: Unreliable | None = None

    def next(self) -> Mood:
        """Return how the request is treated that was asked last."""
        assert self.way
        asked = self.way.asked[-1]
        keeps = asked.startswith("DELETE") and "manifest.json" not in asked
        return (403, DENIED) if keeps else "well"


def test_what_cannot_be_removed_ends_no_run_is_said_once_and_goes_later(
    s3: str, s3_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(f"{s3}/run-1")
    context = FolderContext(folder, Ranks(), keep=2)

    def commit(step: int) -> list[str]:
        context.commit({"state.pt": b"%d" % step}, Reached(0, 0, step))
        return [kept.name[-1] for kept in folder.checkpoints()]

    with on_the_way_to(s3_url) as way:
        monkeypatch.setenv("AWS_ENDPOINT_URL", way.url)
        s3_client.client.cache_clear()
        way.become(KeepsFiles(0.0, way=way))
        assert [commit(step) for step in (1, 2, 3, 4)][-1] == ["3", "4"]
        assert folder.place.begun("checkpoint_")[0].endswith("_s000001")
        assert capsys.readouterr().out.count("cannot be removed") == 1
        way.become("well")
        assert commit(5) == ["4", "5"]
        assert [name[-1] for name in folder.place.begun("checkpoint_")] == ["4", "5"]
        way.become(KeepsFiles(0.0, way=way))
        commit(6)
    assert capsys.readouterr().out.count("cannot be removed") == 1
