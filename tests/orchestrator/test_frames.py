"""Stacks as faulthandler writes them, read for people."""

from dataclasses import replace

from orchestrator.frames import Frame, threads_of
from tests.orchestrator.test_rank_file import SAID

LIBRARIES = "/env/lib/python3.11/site-packages"
STACKS = f"""Current thread 0x00007f01 (most recent call first):
  File "/code/orchestrator/train/stacks.py", line 120 in _replace
  File "/env/lib/python3.11/threading.py", line 1045 in _bootstrap_inner

Thread 0x00007f02 (most recent call first):
  File "/env/lib/python3.11/selectors.py", line 468 in select

Thread 0x00007f03 (most recent call first):
  File "{LIBRARIES}/requests/api.py", line 3 in post
  File "/code/orchestrator/track/sender.py", line 30 in _send

Thread 0x00007f04 (most recent call first):
  File "{LIBRARIES}/torch/distributed/distributed_c10d.py", line 2810 in all_reduce
  File "/env/lib/python3.11/threading.py", line 629 in wait
  File "/code/orchestrator/train/ranks.py", line 60 in total
  File "/code/models/methods/base.py", line 7 in step
  File "{LIBRARIES}/ray/train/v2/api.py", line 9 in run
  File "/code/orchestrator/warm/python.py", line 80 in main
"""
SHOWN = replace(SAID, thread=0x7F04, stacks=STACKS)
TRAINS = [
    Frame("torch/distributed/distributed_c10d.py:2810", "all_reduce", False),
    Frame("threading.py:629", "wait", False),
    Frame("orchestrator/train/ranks.py:60", "total", True),
    Frame("models/methods/base.py:7", "step", True),
]


def test_the_thread_that_trains_is_first_and_ends_with_our_outermost_call() -> None:
    trains, sends = threads_of(SHOWN)
    assert trains == TRAINS
    assert sends == [
        Frame("requests/api.py:3", "post", False),
        Frame("orchestrator/track/sender.py:30", "_send", True),
    ]


def test_of_a_process_that_hangs_the_stacks_that_were_added_count() -> None:
    added = (
        "Timeout (0:00:22)!\nThread 0x00007f04 (most recent call first):\n"
        '  File "/code/models/kernels.py", line ??? in multiply\n'
    )
    hangs = replace(SHOWN, stacks=STACKS + added)
    assert threads_of(hangs) == [[Frame("models/kernels.py:???", "multiply", True)]]


def test_libraries_inside_the_folder_of_the_code_are_not_ours() -> None:
    inside = STACKS.replace("/env/lib", "/code/.venv/lib")
    assert threads_of(replace(SHOWN, stacks=inside))[0] == TRAINS


def test_code_may_lie_in_a_folder_that_is_named_as_one_of_libraries_is() -> None:
    there = "/home/me/python3.11/work"
    inside = replace(SHOWN, code=there, stacks=STACKS.replace('"/code', f'"{there}'))
    assert threads_of(inside)[0] == TRAINS


def test_without_stacks_there_is_no_thread() -> None:
    assert threads_of(replace(SHOWN, stacks="")) == []
