"""Counts of readers beside wsiamf's, in the same fields: bias and limits of agreement, ICC(2,1), weighted kappa."""

from __future__ import annotations

from wsiamf.agreement.comparing import SCHEMA, compare
from wsiamf.agreement.plot import write_plot
from wsiamf.agreement.reader_counts import read_counts
from wsiamf.agreement.table_text import agreement_table

__all__ = ["SCHEMA", "agreement_table", "compare", "read_counts", "write_plot"]
