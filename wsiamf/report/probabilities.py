"""How the probabilities of a slide are spread, and how far such probabilities were found to hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsiamf.report.wording import counted as worded
from wsiamf.report.wording import percent
from wsiamf.spec import ModelSpec
from wsiamf.summary.intervals import wilson

N_BINS: Final = 20
_ROUNDING: Final = 1e-9  # 0.15 * 20 is a little less than 3
_HEADING: Final = re.compile(r"^## +(.*?) *$")
_BIN: Final = re.compile(r"^\| (\d\.\d+) to (\d\.\d+) \| (\d+) \| (\d\.\d+) \| (\d\.\d+) \|$")
_BULLET: Final = "- "


@dataclass(frozen=True)
class Bar:
    """One bar of the histogram.

    Args:
        low, high: Probabilities at its sides.
        n_nmf, n_amf: Figures below the threshold, and from it on; both in the bin that holds it.
    """

    low: float
    high: float
    n_nmf: int
    n_amf: int

    @property
    def n(self) -> int:
        """Figures in all."""
        return self.n_nmf + self.n_amf


@dataclass(frozen=True)
class Bin:
    """A bin of the model's calibration: how often figures of such probabilities were AMF by the experts' majority."""

    n: int
    mean_p: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True)
class Rates:
    """How often the model was right on a set that the measured networks had not seen."""

    domain: str
    model: str
    n: str
    sensitivity: str
    specificity: str


@dataclass(frozen=True)
class Reliability:
    """What the model's bundle says of how far its probabilities hold.

    Args:
        intro: On what material calibration was fitted, in words.
        bins: Of the card's calibration; empty where it has none.
        rates: At the threshold in use.
        limits: The card's, one a line.
    """

    intro: str
    bins: tuple[Bin, ...]
    rates: tuple[Rates, ...]
    limits: tuple[str, ...]


def histogram(p: NDArray[np.float64], threshold: float) -> list[Bar]:
    """Figures by probability, in bins of 0.05; the last one holds 1.

    Args:
        p: ``p_atypical`` of the figures that count, (n,).
        threshold: From here on a figure is called AMF.
    """
    place = np.minimum((p * N_BINS + _ROUNDING).astype(np.intp), N_BINS - 1)
    below, above = (np.bincount(place[chosen], minlength=N_BINS).tolist() for chosen in (p < threshold, p >= threshold))
    return [
        Bar(k / N_BINS, (k + 1) / N_BINS, n_nmf, n_amf)
        for k, (n_nmf, n_amf) in enumerate(zip(below, above, strict=True))
    ]


def reliability(spec: ModelSpec, card: str, threshold_name: str) -> Reliability:
    """Gather it from a model's spec and card.

    Args:
        spec: The model's.
        card: The text of its ``CARD.md``; parts that it lacks are left out.
        threshold_name: Of the threshold in use.
    """
    return Reliability(_intro(spec), _bins(_section(card, "Calibration")), _rates(spec, threshold_name), _limits(card))


def _intro(spec: ModelSpec) -> str:
    sets = " and ".join(spec.trained_on.sets) or "sets that the model does not name"
    fitted = (
        "taken over from the models that it combines and not fitted" if spec.provisional else "fitted to experts' votes"
    )
    return (
        f"{spec.name} {spec.version} learned from {sets}; its probabilities were {fitted}. Measured figures are those of "
        "networks that had not seen the slide that they were measured on. On other tissue, stain or scanner the "
        "probabilities may be off."
    )


def _rates(spec: ModelSpec, threshold_name: str) -> tuple[Rates, ...]:
    return tuple(
        Rates(
            one.domain,
            one.model or "not stated",
            f"{one.n_amf:,} AMF, {one.n_nmf:,} NMF",
            percent(one.sensitivity),
            percent(one.specificity),
        )
        for one in spec.error_rates
        if one.threshold == threshold_name
    )


def _section(card: str, title: str) -> list[str]:
    """The lines below a heading of a Markdown page, up to the next."""
    lines: list[str] = []
    inside = False
    for line in card.splitlines():
        if heading := _HEADING.match(line):
            inside = heading[1] == title
        elif inside:
            lines.append(line)
    return lines


def _bins(lines: Sequence[str]) -> tuple[Bin, ...]:
    rows = [found for line in lines if (found := _BIN.match(line.strip()))]
    bins = []
    for row in rows:
        n, mean_p, observed = int(row[3]), float(row[4]), float(row[5])
        interval = wilson(round(observed * n), n)
        if interval is not None:
            bins.append(Bin(n, mean_p, observed, *interval))
    return tuple(bins)


def _limits(card: str) -> tuple[str, ...]:
    """The bullets of the card's limits, without Markdown's marks."""
    bullets: list[str] = []
    for line in _section(card, "Limits"):
        if line.startswith(_BULLET):
            bullets.append(line.removeprefix(_BULLET).strip())
        elif bullets and line.startswith("  "):
            bullets[-1] += f" {line.strip()}"
    return tuple(text.replace("`", "").replace("**", "") for text in bullets)


def bars_in_words(bars: Sequence[Bar], threshold: float) -> str:
    """The histogram for who cannot see it."""
    n, above = sum(bar.n for bar in bars), sum(bar.n_amf for bar in bars)
    sure = sum(bar.n for bar in bars if bar.high <= 0.1 or bar.low >= 0.9)
    return (
        f"Histogram of P(atypical) of {worded(n, 'figure')}: {above:,} at the threshold of {threshold:g} or above are "
        f"called AMF, {n - above:,} below it NMF; {sure:,} lie below 0.1 or above 0.9."
    )
