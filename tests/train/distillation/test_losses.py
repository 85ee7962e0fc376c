"""The losses: equal to their definitions, and 0 or inert where they should be."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from train.distillation import losses
from train.distillation.config import Distillation
from train.distillation.ensemble import Expected
from train.distillation.objective import objective


@pytest.fixture
def logits():
    return torch.randn(6, 5, generator=torch.Generator().manual_seed(0)) * 3


@pytest.fixture
def teacher():
    return torch.randn(6, 5, generator=torch.Generator().manual_seed(1)) * 3


def test_labels_of_all_give_cross_entropy(logits):
    target = torch.tensor([0, 1, 2, 3, 4, 0])
    loss = losses.cross_entropy(logits, F.one_hot(target, 5).float(), torch.ones(6), "single_label")
    torch.testing.assert_close(loss, F.cross_entropy(logits, target))


def test_unlabelled_examples_do_not_count(logits):
    target = F.one_hot(torch.tensor([0, 1, 2, 3, 4, 0]), 5).float()
    labelled = torch.tensor([1.0, 1, 0, 0, 1, 0])
    known = target * labelled[:, None]
    rows = labelled > 0
    for task, reference in (
        ("single_label", F.cross_entropy(logits[rows], target[rows])),
        ("multi_label", F.binary_cross_entropy_with_logits(logits[rows], target[rows])),
    ):
        torch.testing.assert_close(losses.cross_entropy(logits, known, labelled, task), reference)
        assert losses.cross_entropy(logits, torch.zeros(6, 5), torch.zeros(6), task) == 0


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_a_mixture_costs_the_mixture_of_its_parts(logits, task):
    one, other = torch.eye(5)[[0, 1, 2, 3, 4, 0]], torch.eye(5)[[1, 1, 0, 0, 2, 3]]
    ones = torch.ones(6)
    parts = [losses.cross_entropy(logits, target, ones, task) for target in (one, other)]
    mixed = losses.cross_entropy(logits, 0.7 * one + 0.3 * other, ones, task)
    torch.testing.assert_close(mixed, 0.7 * parts[0] + 0.3 * parts[1])


def test_soft_cross_entropy_is_kl_and_its_gradient_keeps_its_size(logits, teacher):
    for temperature in (1.0, 2.0, 4.0):
        expected = losses.soften(teacher, temperature, "single_label")
        p = torch.softmax(logits / temperature, 1)
        kl = (expected * (expected.log() - p.log())).sum(1).mean() * temperature**2
        torch.testing.assert_close(losses.soft_cross_entropy(logits, expected, temperature), kl)
        same = losses.soften(logits, temperature, "single_label")
        assert losses.soft_cross_entropy(logits, same, temperature).abs() < 1e-5

    def gradient(temperature):
        small = (logits / 100).requires_grad_()
        expected = losses.soften(teacher / 100, temperature, "single_label")
        return torch.autograd.grad(losses.soft_cross_entropy(small, expected, temperature), small)[0].norm()

    assert gradient(8.0) / gradient(4.0) == pytest.approx(1, abs=0.05)  # Hinton's reason for T^2


def test_binary_distillation_is_least_where_both_agree(logits, teacher):
    expected = losses.soften(teacher, 2.0, "multi_label")
    best = losses.binary_distillation(teacher, expected, 2.0)
    assert best < losses.binary_distillation(logits, expected, 2.0)
    start = teacher.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(losses.binary_distillation(start, expected, 2.0), start)
    assert gradient.abs().max() < 1e-6


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_the_kept_logits_keep_their_probability(teacher, task):
    values, indices, rest = losses.keep_top_k(teacher, 2, task)
    dense = losses.expand_top_k(values, indices, rest, 5)
    before, after = (losses.soften(x, 1.0, task) for x in (teacher, dense))
    torch.testing.assert_close(after.gather(1, indices), before.gather(1, indices))
    torch.testing.assert_close(after.sum(1), before.sum(1), rtol=1e-4, atol=1e-4)
    everything = losses.expand_top_k(*losses.keep_top_k(teacher, 5, task), 5)
    torch.testing.assert_close(everything, teacher)


def test_similarity_matching_needs_no_common_width():
    features = torch.randn(6, 8, 3, 2)
    wider = torch.cat([features, features], dim=1) * math.sqrt(0.5)
    assert losses.similarity_matching(features, wider) == pytest.approx(0, abs=1e-6)
    assert losses.similarity_matching(features, torch.randn(6, 20)) > 0.01


def test_agreement_is_the_share_of_equal_labels():
    assert losses.agreement(torch.eye(4), torch.eye(4)[[0, 1, 3, 2]]) == 0.5


def test_the_accuracy_of_teachers_leaves_negatives_out():
    teachers = SimpleNamespace(distillation=Distillation(stores=("a.h5",)))
    probabilities = torch.eye(3)[[0, 1, 2, 0]] * 0.8 + 0.1 / 3
    target = torch.eye(3)[[0, 1, 1, 0]]
    target[3] = 0  # a negative
    found = objective(
        teachers, Expected(probabilities), torch.zeros(4, 3), torch.tensor(0.0), None, target, torch.ones(4)
    )
    assert found.labelled == 3 and float(found.teacher_accuracy) == pytest.approx(2 / 3)
    negatives = torch.zeros(4, 3), torch.ones(4)
    found = objective(
        teachers, Expected(probabilities), torch.zeros(4, 3), torch.tensor(0.0), None, *negatives
    )
    assert found.labelled == 0 and found.teacher_accuracy is None
