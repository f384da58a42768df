"""``compare``: wsiamf against each reader, and against the mean of the readers, in the regions that both counted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsiamf.agreement.own_counts import OwnCounts, Region, read_own_counts, unread, unread_slides
from wsiamf.agreement.reader_counts import Count, read_counts
from wsiamf.agreement.statistics import MIN_PAIRS, BlandAltman, Estimate, bland_altman, icc_2_1, weighted_kappa
from wsiamf.errors import AgreementError, ConfigError
from wsiamf.summary.intervals import Interval
from wsiamf.summary.json_fields import Fields, nominal_fields, nullable, significant

SCHEMA: Final = "wsiamf.agreement/1"
MEASURES: Final = ("mc", "amc")
POOLED: Final = "mean of readers"
FEW: Final = 10
"""Fewer pairs than this are noted."""

_SHOWN: Final = 5  # names in a note
_TOO_FEW: Final = f"not estimable: fewer than {MIN_PAIRS} regions"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Pair:
    """One region as a reader and wsiamf counted it."""

    count: Count
    own: Region

    @property
    def place(self) -> tuple[str, str]:
        return self.own.slide_id, self.own.name

    def values(self, measure: str) -> tuple[float, float] | None:
        """Reader's and wsiamf's; None where the reader has none."""
        theirs = self.count.mc if measure == "mc" else self.count.amc
        return None if theirs is None else (float(theirs), float(getattr(self.own, measure)))


def compare(out: str | Path, reference: str | Path, *, bands: Sequence[int] = ()) -> Fields:
    """Compare counts; differences are wsiamf's count less the reader's.

    Args:
        out: A slide's folder of results, or the OUT of ``screen`` or ``cohort``.
        reference: CSV of the readers' counts.
        bands: Lowest count of each band of ``mc`` for weighted kappa, rising; none for no kappa.

    Returns:
        JSON-ready: ``comparisons`` (one a measure and reader, and the mean of the readers), ``pairs`` (what was compared) and
        ``notes`` (what was left out, and why).

    Raises:
        WsiamfError: The results, counts or bands are unusable, or no count meets a region.
    """
    _check_bands(bands)
    counts, own = read_counts(Path(reference)), read_own_counts(Path(out))
    pairs, notes = _paired(counts, own)
    if not pairs:
        raise AgreementError(f"{reference}: no count meets a region of {out}: {' '.join(notes)}")
    comparisons = [fields for measure in MEASURES for fields in _of_measure(measure, pairs, bands, notes)]
    notes += _few_notes(comparisons) + _dependence_note(pairs)
    return {
        "schema": SCHEMA,
        "use": "research use only",
        "difference": "wsiamf less reader",
        "bands": list(bands),
        "comparisons": comparisons,
        "pairs": [_pair_fields(pair) for pair in pairs],
        "notes": notes,
    }


def _check_bands(bands: Sequence[int]) -> None:
    if bands and (len(bands) < 2 or bands[0] < 0 or any(a >= b for a, b in pairwise(bands))):
        shown = ",".join(map(str, bands))
        raise ConfigError(f"--bands {shown}: give the lowest count of two bands or more, rising, such as 0,7,13.")


def _paired(counts: Sequence[Count], own: OwnCounts) -> tuple[list[_Pair], list[str]]:
    pairs, lost_cases, lost_regions = [], [], []
    for count in counts:
        found = own.find(count.case_id, count.region)
        if found is not None:
            pairs.append(_Pair(count, found))
        elif count.case_id in own.by_case:
            lost_regions.append(f"{count.case_id}: {count.region or 'whole slide'}")
        else:
            lost_cases.append(count.case_id)
    _check_once(pairs)
    notes = [
        *_note(lost_cases, "Readers' cases that the results do not hold"),
        *_note(lost_regions, "Readers' regions that the results do not hold (screen or cohort with --regions)"),
        *_note(own.failed, "Slides whose last try failed, left out"),
        *_note(unread(own, [pair.own for pair in pairs]), "Regions that no reader counted"),
        *_note(unread_slides(own, [pair.own for pair in pairs]), "Slides that no reader counted"),
    ]
    return pairs, notes


def _check_once(pairs: Sequence[_Pair]) -> None:
    """Raise where a reader's rows call one slide by two names and so count a region twice."""
    rows: dict[tuple[str, str, str], int] = {}
    for pair in pairs:
        key = (pair.count.reader, *pair.place)
        if key in rows:
            raise AgreementError(
                f"rows {rows[key]} and {pair.count.row}: {pair.count.reader} counted {pair.own.name or 'the whole slide'} of "
                f"{pair.own.slide_id} twice, under two names; keep one."
            )
        rows[key] = pair.count.row


def _note(names: Iterable[str], words: str) -> list[str]:
    known = sorted(set(names))
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return [f"{words}: {', '.join(known[:_SHOWN])}{more}."] if known else []


def _of_measure(measure: str, pairs: Sequence[_Pair], bands: Sequence[int], notes: list[str]) -> list[Fields]:
    """One comparison a reader in the order of their names, then the mean of the readers where there are two or more."""
    known = [(pair, values) for pair in pairs if (values := pair.values(measure)) is not None]
    by_reader: defaultdict[str, dict[tuple[str, str], tuple[float, float]]] = defaultdict(dict)
    for pair, values in known:
        by_reader[pair.count.reader][pair.place] = values
    used_bands = bands if measure == "mc" else ()
    found = []
    for reader in sorted(by_reader):
        values_N2 = np.array(list(by_reader[reader].values()))
        found.append(_comparison(measure, reader, values_N2, values_N2, used_bands, notes))
    if len(by_reader) > 1:
        found.append(_pooled(measure, by_reader, used_bands, notes))
    return found


def _pooled(
    measure: str,
    by_reader: dict[str, dict[tuple[str, str], tuple[float, float]]],
    bands: Sequence[int],
    notes: list[str],
) -> Fields:
    """wsiamf against the readers' mean in each region; the ICC is of wsiamf and all readers, where all of them counted."""
    places = list(dict.fromkeys(place for values in by_reader.values() for place in values))
    means = [
        (np.mean([values[place][0] for values in by_reader.values() if place in values]), _own(place, by_reader))
        for place in places
    ]
    whole = [place for place in places if all(place in values for values in by_reader.values())]
    raters = [
        [*(by_reader[reader][place][0] for reader in sorted(by_reader)), _own(place, by_reader)] for place in whole
    ]
    ratings = np.array(raters, dtype=np.float64).reshape(len(whole), len(by_reader) + 1)
    return _comparison(measure, POOLED, np.array(means), ratings, bands, notes)


def _own(place: tuple[str, str], by_reader: dict[str, dict[tuple[str, str], tuple[float, float]]]) -> float:
    return next(values[place][1] for values in by_reader.values() if place in values)


def _comparison(
    measure: str, reader: str, values_N2: Floats, ratings_NK: Floats, bands: Sequence[int], notes: list[str]
) -> Fields:
    agreement = bland_altman(values_N2[:, 1] - values_N2[:, 0])
    icc = icc_2_1(ratings_NK)
    reason = _TOO_FEW if len(ratings_NK) < MIN_PAIRS else "not estimable: all counts are equal"
    return {
        "measure": measure,
        "reader": reader,
        "n_regions": len(values_N2),
        "mean_reader": significant(values_N2[:, 0].mean()),
        "mean_wsiamf": significant(values_N2[:, 1].mean()),
        **_bland_altman_fields(agreement),
        **_estimate_fields("icc_2_1", icc, "Shrout and Fleiss", reason),
        "icc_n_regions": len(ratings_NK),
        "icc_n_raters": ratings_NK.shape[1],
        **(_kappa_fields(reader, values_N2, bands, notes) if bands else nullable("kappa", None, "no bands: --bands")),
    }


def _bland_altman_fields(agreement: BlandAltman | None) -> Fields:
    names = ("bias", "lower", "upper")
    if agreement is None:
        return {key: value for name in names for key, value in nullable(_limit_name(name), None, _TOO_FEW).items()}
    fields: Fields = {}
    for name in names:
        interval: Interval = getattr(agreement, f"{name}_interval")
        fields |= nullable(_limit_name(name), significant(getattr(agreement, name)), "")
        fields[f"{_limit_name(name)}_interval"] = nominal_fields(interval, "Bland and Altman", "sampling of regions")
    return fields | {"sd": significant(agreement.sd)}


def _limit_name(name: str) -> str:
    return name if name == "bias" else f"{name}_limit"


def _estimate_fields(name: str, found: Estimate | None, method: str, reason: str) -> Fields:
    value = None if found is None else significant(found.value)
    interval = nominal_fields(found.interval if found else None, method, "sampling of regions")
    no_interval = reason if found is None else f"not estimable: {found.reason}"
    return nullable(name, value, reason) | nullable(f"{name}_interval", interval, no_interval)


def _kappa_fields(reader: str, values_N2: Floats, bands: Sequence[int], notes: list[str]) -> Fields:
    edges = np.asarray(bands, dtype=np.float64)
    inside = (values_N2 >= edges[0]).all(axis=1)
    if not inside.all():
        notes.append(
            f"{reader}: {int((~inside).sum())} regions with a count below the first band are left out of kappa."
        )
    band_N2 = np.searchsorted(edges, values_N2[inside], side="right") - 1
    table = np.zeros((len(edges), len(edges)), dtype=np.int64)
    np.add.at(table, (band_N2[:, 0], band_N2[:, 1]), 1)
    kappa = weighted_kappa(table)
    reason = _TOO_FEW if inside.sum() < MIN_PAIRS else "not estimable: all counts are in one band"
    return {
        **_estimate_fields("kappa", kappa, "Fleiss, Cohen and Everitt", reason),
        "kappa_weights": "quadratic",
        "bands_reader_by_wsiamf": table.tolist(),
    }


def _few_notes(comparisons: Sequence[Fields]) -> list[str]:
    few = [f"{one['reader']} ({one['measure']}, {one['n_regions']})" for one in comparisons if one["n_regions"] < FEW]
    return _note(few, f"Fewer than {FEW} regions, so that intervals are wide and rough")


def _dependence_note(pairs: Sequence[_Pair]) -> list[str]:
    places, slides = {pair.place for pair in pairs}, {pair.own.slide_id for pair in pairs}
    if len(places) == len(slides):
        return []
    whole = {slide_id for slide_id, name in places if not name} & {slide_id for slide_id, name in places if name}
    return [
        *_note(
            whole,
            "Counted whole and in regions, which is the same figures twice and spreads the counts, so that the ICC is too "
            "high: compare whole slides and regions apart, from two files",
        ),
        f"{len(places)} regions lie on {len(slides)} slides; intervals take regions as independent, and are too narrow.",
    ]


def _pair_fields(pair: _Pair) -> Fields:
    count = pair.count
    own = {"slide_id": pair.own.slide_id, "mc_wsiamf": pair.own.mc, "amc_wsiamf": pair.own.amc}
    named = {"case_id": count.case_id, "reader": count.reader, "region": count.region}
    return named | {"mc": count.mc, "amc": count.amc} | own
