import torch

from benchmarks.coquant_step import measure


def test_every_step_that_is_compared_is_measured_as_often() -> None:
    tiny = ("model.widths=[4, 8]", "model.depths=[1, 1]")
    seconds = measure(2, 2, torch.device("cpu"), *tiny)
    assert seconds.keys() == {"coquant", "coquant, not shared", "four individual"}
    assert all(len(times) == 2 and min(times) > 0 for times in seconds.values())
