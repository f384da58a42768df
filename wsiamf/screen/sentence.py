"""The result of a screening in one sentence."""

from __future__ import annotations

from typing import Any


def summary_sentence(name: str, summary: dict[str, Any]) -> str:
    """Counts, fraction with its interval and hard cases, for a person's eye."""
    counted = f"{name}: {summary['n_ok']} of {summary['n_candidates']} candidates count"
    if summary["amf_fraction"] is None:
        return f"{counted}; AMF fraction {summary['amf_fraction_status']}"
    expected = summary["amf_fraction_expected_interval95"]
    fraction = (
        f"{summary['amf_fraction']:.1%} AMF; by the calibrated probabilities {summary['amf_fraction_expected']:.1%}, "
        f"95 % interval {expected['low']:.1%} to {expected['high']:.1%}"
    )
    hard = "" if summary["n_hard"] is None else f"; {summary['n_hard']} hard cases to review"
    return f"{counted}: {summary['n_amf']} AMF and {summary['n_nmf']} NMF ({fraction}){hard}"


def agreement_sentence(name: str, summary: dict[str, Any]) -> str | None:
    """How the model's labels agree with people's, for a person's eye; None where there is nothing to compare."""
    found = summary["label_agreement"]
    if found is None or (not found["n"] and not any(one["n"] for one in found["raters"].values())):
        return None
    each = "".join(f"; {rater} {_agreed(one)}" for rater, one in found["raters"].items() if one["n"])
    return f"{name}: the model agrees with the labels in the points file on {_agreed(found)}{each}"


def _agreed(fields: dict[str, Any]) -> str:
    if not fields["n"]:
        return "none"
    kappa = "" if fields["kappa"] is None else f", kappa {fields['kappa']:.2f}"
    return f"{fields['agreement']:.1%} of {fields['n']:,}{kappa}"
