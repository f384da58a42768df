"""The result of a screening in one sentence."""

from __future__ import annotations

from typing import Any


def summary_sentence(name: str, summary: dict[str, Any]) -> str:
    """Counts, fraction with its interval and hard cases, for a person's eye."""
    counted = f"{name}: {summary['n_ok']} of {summary['n_candidates']} candidates count"
    if summary["amf_fraction"] is None:
        return f"{counted}; AMF fraction {summary['amf_fraction_status']}"
    return f"{counted}, {summary['n_amf']} AMF, {summary['n_nmf']} NMF, {summary['n_hard']} hard"
