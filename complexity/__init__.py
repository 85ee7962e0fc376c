"""Weighs: parameters, bytes, MACs and activations of a model, by a challenge's rule and as deployed."""

from complexity.budget import Budget, OverBudgetError
from complexity.report import Report
from complexity.weigh import check, measure

__all__ = ["Budget", "OverBudgetError", "Report", "check", "measure"]
