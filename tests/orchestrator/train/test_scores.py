from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from orchestrator.train.scores import mean_average_precision, top1


@pytest.mark.golden
def test_map_agrees_with_the_golden_vectors(
    golden: Callable[[str], list[dict[str, Any]]],
) -> None:
    cases = [case for case in golden("metrics") if case["kind"] == "mAP"]
    assert cases
    for case in cases:
        logits = np.array(case["logits"])
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = exponents / exponents.sum(axis=1, keepdims=True)
        targets = [np.flatnonzero(row).tolist() for row in case["multi_hot"]]
        found = mean_average_precision(scores, targets)
        assert found == pytest.approx(case["mAP_percent"], abs=1e-10)


def test_map_equals_scikit_learn_where_every_class_has_positives() -> None:
    from sklearn.metrics import average_precision_score

    generator = np.random.default_rng(0)
    scores = generator.random((40, 5))
    truth = generator.random((40, 5)) < 0.3
    truth[np.arange(5), np.arange(5)] = True
    targets = [np.flatnonzero(row).tolist() for row in truth]
    expected = 100 * average_precision_score(truth, scores, average="macro")
    assert mean_average_precision(scores, targets) == pytest.approx(expected)


def test_top1_counts_the_share_of_right_first_guesses() -> None:
    assert top1(np.array([0, 1, 2, 1]), [[0], [1, 3], [1], [0]]) == 50.0


def test_of_equal_scores_the_earlier_sample_is_ranked_first() -> None:
    # Class 0: ranks 1 2 3 4 for samples 1 0 2 3, positives 0 and 3; class 1: all equal.
    scores = np.array([[0.5, 0.5], [0.9, 0.5], [0.5, 0.5], [0.5, 0.5]])
    targets = [[0], [1], [1], [0]]
    expected = 100 * ((1 / 2 + 2 / 4) / 2 + (1 / 2 + 2 / 3) / 2) / 2
    assert mean_average_precision(scores, targets) == pytest.approx(expected)


def test_a_class_without_positives_counts_as_zero() -> None:
    assert mean_average_precision(np.array([[0.9, 0.1]]), [[0]]) == 50.0
