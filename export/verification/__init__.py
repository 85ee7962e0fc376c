"""Verification of an exported file: correctness is a gate, quality is measured against a tolerance."""

from export.verification.correctness import Check
from export.verification.verify_file import Verification, verify
from train.quantization.quality import TOLERANCE, Quality

__all__ = ["TOLERANCE", "Check", "Quality", "Verification", "verify"]
