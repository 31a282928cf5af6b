"""Keys are named as briefly as they can be told apart."""

from orchestrator.job.short_names import short_names


def test_a_short_name_is_the_shortest_end_that_no_other_key_has() -> None:
    keys = ["method.lambda", "optimizer.lr", "optimizer.clip.lr", "lambda"]
    assert short_names(keys) == {
        "method.lambda": "method.lambda",
        "optimizer.lr": "optimizer.lr",
        "optimizer.clip.lr": "clip.lr",
        "lambda": "lambda",
    }
    assert short_names(["method.p1"]) == {"method.p1": "p1"}
