"""Ray's own `ray start`, for a node that sets up the processes of jobs without importing Ray first.

    python -P orchestrator/cluster/ray_start.py --head --block ...

It is a script: the local head runs in a folder of its own, from which orch need not be importable.
"""

import sys
from functools import partialmethod
from pathlib import Path

SETUP_WORKER = Path(__file__).parents[1] / "warm" / "setup_worker.py"


def main(arguments: list[str]) -> None:
    """Run `ray start` with these arguments."""
    from ray._private.parameter import RayParams
    from ray.scripts.scripts import cli

    own = partialmethod(RayParams.__init__, setup_worker_path=str(SETUP_WORKER))
    RayParams.__init__ = own
    cli.main(["start", *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
