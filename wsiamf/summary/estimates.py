"""Shares and densities of a set of counted figures, each with its interval, as fields of ``summary.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsiamf.spec import ErrorRates
from wsiamf.summary.intervals import (
    DRAWS,
    Accuracy,
    clip_share,
    garwood,
    poisson_binomial,
    rogan_gladen,
    rogan_gladen_interval,
    wilson,
)
from wsiamf.summary.json_fields import NO_FIGURES, Fields, interval_fields, nominal_fields, nullable, significant

Floats = NDArray[np.float64]

SAMPLING_ALONE: Final = "sampling of figures alone, not the classifier's errors"
_UNKNOWN_CLASSES: Final = "which figures are atypical, given their calibrated probabilities"
_POISSON: Final = "chance number of figures, not the classifier's errors"
_SAMPLING_AND_RATES: Final = "sampling of figures and uncertainty of the error rates"


def fraction_fields(n_amf: int, n: int, **more: Any) -> Fields:
    """``amf_fraction`` = AMF / (AMF + NMF) with its Wilson interval.

    Args:
        n_amf: Number of AMF, of ``n`` figures.
        n: Number of figures.
        **more: Put into the interval.
    """
    share = significant(n_amf / n) if n else None
    interval = nominal_fields(wilson(n_amf, n), "Wilson", SAMPLING_ALONE, **more)
    return nullable("amf_fraction", share, NO_FIGURES) | nullable(
        "amf_fraction_sampling_interval", interval, NO_FIGURES
    )


def ratio_fields(n_amf: int, n_nmf: int) -> Fields:
    """``amf_to_nmf_ratio`` = AMF / NMF."""
    reason = "not estimable: no figure is NMF" if n_amf else NO_FIGURES
    return nullable("amf_to_nmf_ratio", significant(n_amf / n_nmf) if n_nmf else None, reason)


def density_fields(name: str, n: int, area_mm2: float, **more: Any) -> Fields:
    """``<name>_per_mm2`` with its Garwood interval; null where there is no area."""
    reason = "not estimable: the area is empty"
    density = significant(n / area_mm2) if area_mm2 > 0 else None
    interval = nominal_fields(garwood(n, area_mm2), "Garwood", _POISSON, **more)
    field = f"{name}_per_mm2"
    return nullable(field, density, reason) | nullable(f"{field}_sampling_interval", interval, reason)


def expected_fields(p_atypical: Floats) -> Fields:
    """``n_amf_expected``, the sum of the calibrated probabilities, and ``amf_fraction_expected``, their mean."""
    n = len(p_atypical)
    total = float(p_atypical.sum())
    counts = poisson_binomial(p_atypical)
    shares = (counts[0] / n, counts[1] / n) if counts else None
    how = ("Poisson-binomial", _UNKNOWN_CLASSES)
    return (
        nullable("amf_fraction_expected", significant(total / n) if n else None, NO_FIGURES)
        | nullable("amf_fraction_expected_interval95", interval_fields(shares, *how), NO_FIGURES)
        | {"n_amf_expected": significant(total)}
        | nullable("n_amf_expected_interval95", interval_fields(counts, *how), NO_FIGURES)
    )


def expert_fields(p_experts: Mapping[str, Floats], cut_offs: Sequence[float]) -> Fields:
    """``amf_fraction_expert_1..K``: the share of figures whose expert head says its cut-off or more.

    Args:
        p_experts: By rater id, in the order of the model's heads: probabilities of the counted figures, NaN for none.
        cut_offs: One a head, on its own uncalibrated probability.
    """
    fields: Fields = {"experts": list(p_experts)}
    for number, (p, cut_off) in enumerate(zip(p_experts.values(), cut_offs, strict=True), start=1):
        known = p[~np.isnan(p)]
        reason = "not estimable: this expert's head gave no probability" if len(p) else NO_FIGURES
        share = significant(float(np.mean(known >= cut_off))) if len(known) else None
        fields |= nullable(f"amf_fraction_expert_{number}", share, reason)
    return fields


def error_range_fields(n_amf: int, n: int, rates: Sequence[ErrorRates]) -> Fields:
    """``amf_fraction_error_range``: the corrected fraction at the least and the most favourable of the bundle's domains."""
    name = "amf_fraction_error_range"
    if not n:
        return nullable(name, None, NO_FIGURES)
    if not rates:
        return nullable(name, None, "the model states no error rates at this threshold")
    corrected = [(rogan_gladen(n_amf / n, _accuracy(one)), one.domain) for one in rates]
    useless = [domain for share, domain in corrected if share is None]
    if useless:
        return nullable(name, None, f"not estimable: sensitivity + specificity is at most 1 for {', '.join(useless)}")
    clipped = [(clip_share(share), domain) for share, domain in corrected if share is not None]
    (low, low_domain), (high, high_domain) = min(clipped), max(clipped)
    found = {"low": significant(low), "low_domain": low_domain, "high": significant(high), "high_domain": high_domain}
    return nullable(
        name,
        {**found, "domains": [one.domain for one in rates], "models": [one.model or "not stated" for one in rates]},
        "",
    )


def error_adjusted_fields(n_amf: int, n: int, own: ErrorRates | None, *, seed: int) -> Fields:
    """``amf_fraction_error_adjusted``: one corrected fraction, only with error rates of the user's own material."""
    name = "amf_fraction_error_adjusted"
    if own is None:
        return nullable(name, None, "no error rates of this material: give --error-rates")
    if not n:
        return nullable(name, None, NO_FIGURES)
    share = rogan_gladen(n_amf / n, _accuracy(own))
    if share is None:
        return nullable(name, None, f"not estimable: sensitivity + specificity is at most 1 for {own.domain}")
    interval = rogan_gladen_interval(n_amf, n, _accuracy(own), seed=seed)
    clipped = (clip_share(interval[0]), clip_share(interval[1])) if interval else None
    how = ("Rogan-Gladen, parametric bootstrap", _SAMPLING_AND_RATES)
    reason = "not estimable: the error rates are too uncertain"
    found = {
        "unclipped": significant(share),
        **nullable("unclipped_interval", nominal_fields(interval, *how, draws=DRAWS, seed=seed), reason),
        "clipped": significant(clip_share(share)),
        **nullable("clipped_interval", nominal_fields(clipped, *how, draws=DRAWS, seed=seed), reason),
        "error_rates": own.model_dump(mode="json", exclude_none=True),
    }
    return nullable(name, found, "")


def _accuracy(rates: ErrorRates) -> Accuracy:
    return Accuracy(rates.sensitivity, rates.specificity, rates.n_amf, rates.n_nmf)
