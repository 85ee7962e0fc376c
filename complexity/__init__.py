"""Complexity: parameters, bytes, MACs and activations of a model, by a challenge's rule and as deployed."""

from complexity.budget import Budget, OverBudgetError
from complexity.measurement import check, measure
from complexity.report.report import Report

__all__ = ["Budget", "OverBudgetError", "Report", "check", "measure"]
