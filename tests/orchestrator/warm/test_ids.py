"""Processes that are forked once Ray is loaded give different ids to what they make."""

import json
import subprocess
import sys

from orchestrator.warm import python

DRAW = """
import contextlib, importlib, json, os, sys
for library in json.loads(sys.argv[1]):
    with contextlib.suppress(ImportError):
        importlib.import_module(library)
import ray
for _ in range(2):
    if not os.fork():
        print(ray.PlacementGroupID.of(ray.JobID.from_int(1)).hex(), flush=True)
        os._exit(0)
    os.wait()
"""


def test_two_forked_processes_draw_different_ids_of_ray() -> None:
    command = [sys.executable, "-c", DRAW, json.dumps(python.RAY)]
    drawn = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert len(set(drawn)) == 2
