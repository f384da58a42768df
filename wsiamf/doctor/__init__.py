"""What a machine lacks: one finding a check, with its remedy. Nothing heavy is loaded before its check runs."""

from wsiamf.doctor.examine import Asked, examine
from wsiamf.doctor.finding import FAIL, PASS, WARN, Finding

__all__ = ["FAIL", "PASS", "WARN", "Asked", "Finding", "examine"]
