"""The losses of training: pure functions of logits, labels and a teacher's probabilities.

Shapes are [batch, classes] throughout. Labels are probabilities: one-hot, mixed by MixUp, or zeros where a
clip has no label; ``labelled`` [batch] is the share of an example that is labelled, 1 or 0 before mixing. A
negative is labelled, and its labels are zeros.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from runtime.spec import Task


def cross_entropy(logits: Tensor, target: Tensor, labelled: Tensor, task: Task) -> Tensor:
    """Cross-entropy, or binary cross-entropy where a clip has any number of labels: a scalar.

    The mean over the labelled examples; 0 where there is none. Of one label, a negative has each with the
    same probability (outlier exposure, Hendrycks et al., ICLR 2019).
    """
    mass = labelled.sum().clamp_min(1.0)
    if task == "single_label":
        negative = labelled - target.sum(dim=1)  # the share of an example that is labelled as none
        target = target + negative.unsqueeze(1) / logits.shape[1]
        return -(target * F.log_softmax(logits, dim=1)).sum() / mass
    absent = labelled.unsqueeze(1) - target  # also of a mixture: each part is present or absent
    loss = target * F.softplus(-logits) + absent * F.softplus(logits)
    return loss.sum() / (mass * logits.shape[1])


def soften(logits: Tensor, temperature: float, task: Task) -> Tensor:
    """Logits [batch, classes] -> probabilities at a temperature, the same shape."""
    scaled = logits / temperature
    return scaled.softmax(dim=1) if task == "single_label" else scaled.sigmoid()


def soft_cross_entropy(logits: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Kullback-Leibler divergence of the student from its teacher, times T^2: a scalar >= 0.

    Hinton et al., "Distilling the knowledge in a neural network", 2015, as CP-JKU's DCASE systems use it.
    T^2 keeps the size of the gradient. Summed over the classes and averaged over the batch.

    Args:
        logits: the student's.
        teacher: the teacher's probabilities, at the same temperature.
        temperature: T.
    """
    log_p = F.log_softmax(logits / temperature, dim=1)
    return temperature**2 * F.kl_div(log_p, teacher, reduction="batchmean")


def binary_distillation(logits: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Binary cross-entropy against a teacher's probability of each class, times T^2: a scalar.

    The loss of Faster AST and CED (Dinkel et al., ICASSP 2024) for tagging; it also takes the probabilities
    of a softmax teacher. Averaged over classes and batch.
    """
    return temperature**2 * F.binary_cross_entropy_with_logits(logits / temperature, teacher)


def similarity_matching(student: Tensor, teacher: Tensor) -> Tensor:
    """Distance between two networks' similarities of the examples of a batch: a scalar, 0 where they agree.

    Tung & Mori, "Similarity-preserving knowledge distillation", ICCV 2019. The two networks may have
    features of different widths.

    Args:
        student: features [batch, ...].
        teacher: features [batch, ...] of any other width.
    """

    def similarity(features: Tensor) -> Tensor:
        flat = features.flatten(1)
        return F.normalize(flat @ flat.T, dim=1)

    return (similarity(student) - similarity(teacher)).square().sum(dim=1).mean()


def agreement(logits: Tensor, teacher: Tensor) -> Tensor:
    """Share of examples for which student and teacher have the same likeliest class: a scalar."""
    return (logits.argmax(dim=1) == teacher.argmax(dim=1)).float().mean()


def expand_top_k(values: Tensor, indices: Tensor, rest: Tensor, n_classes: int) -> Tensor:
    """Full logits from the k largest ones (CED stores the 20 largest of 527).

    Args:
        values: [batch, k].
        indices: int64 [batch, k], their classes.
        rest: [batch], one logit for all other classes; see `keep_top_k`.
        n_classes: number of classes.

    Returns:
        [batch, classes].
    """
    dense = rest.unsqueeze(1).expand(-1, n_classes).clone()
    return dense.scatter_(1, indices, values)


def keep_top_k(logits: Tensor, k: int, task: Task) -> tuple[Tensor, Tensor, Tensor]:
    """Keep the k largest logits, and one logit for the rest that leaves their probabilities unchanged.

    Returns:
        values [batch, k], indices [batch, k], rest [batch]. At temperature 1 the k classes retain their exact
        probability; the rest of a softmax is shared evenly by the other classes, and with a sigmoid the other
        classes have their mean probability.
    """
    values, indices = logits.topk(k, dim=1)
    others = logits.scatter(1, indices, float("-inf"))
    count = max(logits.shape[1] - k, 1)
    if task == "single_label":
        rest = others.logsumexp(dim=1) - torch.log(torch.tensor(float(count)))
    else:
        rest = torch.logit((others.sigmoid().sum(dim=1) / count).clamp(1e-6, 1 - 1e-6))
    # -inf where k is the number of classes; no class reads it then, but float16 storage needs a number
    return values, indices, rest.clamp_min(-60.0)
