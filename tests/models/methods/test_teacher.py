"""Independent: the golden vectors, and entropy and divergence from torch.distributions."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, kl_divergence
from torch.nn import functional as F

from models.methods.teacher import (
    choose_teacher,
    distillation_loss,
    ensemble_loss,
    feature_loss,
    mean_entropy,
    teacher_scores,
)

Golden = Callable[[str], dict[str, Any]]


def alone(tensor: Tensor) -> Tensor:
    return tensor


def float64(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.golden
def test_entropies_scores_and_choices_are_the_golden_ones(golden: Golden) -> None:
    data = golden("teacher_swap")
    for case in data["cases"]:
        entropy = {
            int(b): mean_entropy([float64(y)], alone).item()
            for b, y in case["teacher_logits"].items()
        }
        student = case["w_hat_layers"][str(case["student_bit"])]
        distance = {
            bits: sum(
                (float64(t) - float64(s)).abs().mean().item()
                for t, s in zip(case["w_hat_layers"][str(bits)], student, strict=True)
            )
            for bits in entropy
        }
        scores = teacher_scores(entropy, distance, case["lam"])
        for actual, name in ((entropy, "entropy"), (distance, "distance"), (scores, "score")):
            wanted = {int(bits): value for bits, value in case[name].items()}
            assert actual == pytest.approx(wanted, abs=data["abs"])
        assert choose_teacher(scores) == case["chosen"]


@pytest.mark.golden
def test_losses_and_their_gradient_are_the_golden_ones(golden: Golden) -> None:
    data = golden("teacher_swap")
    for case in data["cases"]:
        logits = float64(case["student_logits"]).requires_grad_()
        teacher = float64(case["teacher_logits"][str(case["chosen"])]).requires_grad_()
        divergence = distillation_loss(logits, teacher)
        loss = F.cross_entropy(logits, torch.tensor(case["labels"])) + divergence
        loss.backward()
        assert divergence.item() == pytest.approx(case["kl"], abs=data["abs"])
        assert loss.item() == pytest.approx(case["loss"], abs=data["abs"])
        expected = float64(case["grad_student_logits"])
        torch.testing.assert_close(logits.grad, expected, rtol=0, atol=data["abs"])
        assert teacher.grad is None


def test_entropy_is_that_of_the_global_batch() -> None:
    parts = [torch.randn(2, 5) * 3, torch.randn(6, 5)]
    sums = [torch.zeros(2, dtype=torch.float64)]

    def add(tensor: Tensor) -> Tensor:
        sums[0] = sums[0] + tensor
        return sums[0]

    for part in parts:
        over_all_ranks = mean_entropy(part.split(2), add)
    expected = Categorical(logits=torch.cat(parts).double()).entropy().mean().item()
    assert over_all_ranks.item() == pytest.approx(expected)


def test_divergence_is_summed_over_classes_and_averaged_over_the_batch() -> None:
    student, teacher = torch.randn(2, 4, 7)
    expected = kl_divergence(Categorical(logits=teacher), Categorical(logits=student)).mean()
    torch.testing.assert_close(distillation_loss(student, teacher), expected)


def test_the_shares_of_several_teachers_get_the_gradient_of_finite_differences() -> None:
    student, *teachers = 3 * torch.randn(4, 5, 7, dtype=torch.float64)
    soft = torch.stack([logits.softmax(dim=1) for logits in teachers])

    def loss(shares: Tensor) -> Tensor:
        target = torch.einsum("t,tbc->bc", shares.softmax(dim=0), soft)
        return kl_divergence(Categorical(probs=target), Categorical(logits=student)).mean()

    shares = float64([0.5, 0.1, -1.0]).requires_grad_()
    for logits in teachers:
        logits.requires_grad_()
    found = ensemble_loss(student, teachers, shares)
    torch.testing.assert_close(found, loss(shares))
    found.backward()
    steps = 1e-5 * torch.eye(3, dtype=torch.float64)
    expected = [(loss(shares + h) - loss(shares - h)).item() / 2e-5 for h in steps]
    assert shares.grad is not None
    assert shares.grad.tolist() == pytest.approx(expected, abs=1e-8)
    assert all(logits.grad is None for logits in teachers)


def test_the_distance_of_blocks_counts_each_block_alike_and_moves_the_student_only() -> None:
    own = [torch.zeros(2, 3, requires_grad=True), torch.zeros(4, requires_grad=True)]
    theirs = [torch.full((2, 3), 2.0, requires_grad=True), torch.full((4,), -4.0)]
    loss = feature_loss(own, theirs)
    loss.backward()
    assert loss.item() == (2 + 4) / 2
    assert own[0].grad is not None
    assert own[0].grad.unique().item() == pytest.approx(-1 / 12)
    assert theirs[0].grad is None


def test_equal_scores_go_to_the_lower_bit_width() -> None:
    assert choose_teacher({8: 0.5, 6: 0.5, 4: 0.7}) == 6
    assert choose_teacher({8: 0.5, 6: 0.6, 4: 0.5}) == 4


def test_without_distance_the_surest_teaches_and_with_much_of_it_the_nearest() -> None:
    entropy, distance = {8: 0.3, 4: 0.9}, {8: 2.0, 4: 1.0}
    assert choose_teacher(teacher_scores(entropy, distance, 0.0)) == 8
    assert choose_teacher(teacher_scores(entropy, distance, 10.0)) == 4


def test_a_certain_prediction_has_no_entropy() -> None:
    assert mean_entropy([torch.tensor([[1000.0, 0.0, -1000.0]])], alone) == 0.0
