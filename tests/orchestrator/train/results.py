"""What a run left in its folder."""

import json
from typing import Any

from orchestrator.train.worker import Worker


def finished(worker: Worker) -> dict[str, Any]:
    """Return the final results of a worker's run."""
    result: dict[str, Any] = json.loads(worker.folder.result.read())
    return result
