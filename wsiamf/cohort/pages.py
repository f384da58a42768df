"""``summary.md`` and ``methods.md``: the cohort for a person's eye, every number of it from ``cohort.json``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from wsiamf.cohort.pooled import EXPECTED, MEAN, POOLED
from wsiamf.cohort.rows import Row
from wsiamf.summary.hotspot import MIN_SHARE
from wsiamf.summary.json_fields import Fields
from wsiamf.summary.slide_summary import FEW

_SHOWN: Final = 20
"""Failures and warnings named on the page; the tables have all of them."""
_AREAS: Final = {"roi": "annotated regions", "tissue": "a tissue mask"}
_NOTICE: Final = (
    "**Research use only.** Not a medical device; not validated for diagnosis. The figures are the model's: read the model "
    "card, and have hard cases reviewed."
)


def summary_page(document: Fields, failures: Sequence[Row]) -> str:
    """``summary.md``.

    Args:
        document: The content of ``cohort.json``.
        failures: The rows of ``failures.csv``.
    """
    parts = [
        "# Cohort",
        flow_sentence(document["flow"]),
        _NOTICE,
        "## Figures",
        "\n".join(_figures(document)),
        *_strata(document),
        *_failures(failures),
        *_warnings(document["warnings"]),
    ]
    return "\n\n".join(parts) + "\n"


def flow_sentence(flow: Fields) -> str:
    """Slides and cases left after each step."""
    return (
        f"{_count(flow['slides_listed'], 'slide')} listed; {flow['slides_read']} read, {flow['slides_failed']} failed; "
        f"{flow['slides_with_candidates']} with candidates, {flow['slides_with_figures']} with a figure that counts, "
        f"{flow[f'slides_with_{FEW}_figures_or_more']} with {FEW} figures or more. {_count(flow['cases'], 'case')}, "
        f"{flow['cases_with_figures']} with figures, {flow['cases_incomplete']} incomplete (a slide failed)."
    )


def _figures(document: Fields) -> Iterator[str]:
    overall = document["overall"]
    if not overall["n_ok"]:
        yield "No figure counts, so that nothing can be estimated."
        return
    yield (
        f"- {overall['n_ok']} figures of {_count(overall['n_cases_with_figures'], 'case')}: {overall['n_amf']} atypical "
        f"(AMF), {overall['n_nmf']} normal (NMF)."
    )
    yield f"- Pooled fraction, AMF / (AMF + NMF): {_with_interval(overall, POOLED)}."
    yield f"- Mean of the cases' fractions, each case the same weight: {_with_interval(overall, MEAN)}."
    yield f"- Pooled fraction by the calibrated probabilities: {_with_interval(overall, EXPECTED)}."
    if overall["n_cases_incomplete"]:
        complete = document["overall_complete_cases"]
        yield f"- Pooled fraction of complete cases alone: {_with_interval(complete, POOLED)}."
    intervals = document["intervals"]
    yield f"\nIntervals: 95 %, {intervals['method']}; {intervals['covers']}."


def _strata(document: Fields) -> Iterator[str]:
    for name in ("group", "tumor", "scanner"):
        if document[f"by_{name}"] is None:
            continue
        yield f"## By {name}"
        header = [name, "cases", "with figures", "figures", "AMF", "pooled fraction", "mean of cases"]
        yield _table(header, [_stratum(name, one) for one in document[f"by_{name}"]])


def _stratum(name: str, fields: Fields) -> list[str]:
    counts = ("n_cases", "n_cases_with_figures", "n_ok", "n_amf")
    shares = [_short(fields, share) for share in (POOLED, MEAN)]
    return [fields[name] or "not stated", *(str(fields[count]) for count in counts), *shares]


def _failures(failures: Sequence[Row]) -> Iterator[str]:
    if not failures:
        return
    yield f"## Failed ({len(failures)})"
    rows = [[row["slide_id"], row["kind"], str(row["attempts"]), row["reason"]] for row in failures[:_SHOWN]]
    yield _table(["slide", "kind", "attempts", "reason"], rows)
    if len(failures) > _SHOWN:
        yield f"{len(failures) - _SHOWN} more are in `failures.csv`."


def _warnings(warnings: Fields) -> Iterator[str]:
    if not warnings["cohort"] and not warnings["slides"]:
        return
    yield "## Warnings"
    lines = [f"- {_plain(text)}" for text in warnings["cohort"][:_SHOWN]]
    if len(warnings["cohort"]) > _SHOWN:
        lines.append(f"- {len(warnings['cohort']) - _SHOWN} more are in `cohort.json`.")
    lines += [f"- {_count(one['n_slides'], 'slide')}: {_plain(one['text'])}" for one in warnings["slides"][:_SHOWN]]
    yield "\n".join(lines)


def methods_page(document: Fields) -> str:
    """``methods.md``: paragraphs to paste into a paper, and what they cite."""
    slides = document["provenance"]["slides"]
    parts = [
        "# Methods",
        "Paste and shorten. Every number is of this cohort; names of instruments and stains are yours to add.",
    ]
    if slides:
        options = document["provenance"]["options"]
        parts += [_classification(slides), _counting(slides, options), _slide_intervals(slides)]
    parts += [_cohort_intervals(document), flow_sentence(document["flow"]), _NOTICE, "## References"]
    options = document["provenance"]["options"]
    return "\n\n".join([*parts, "\n".join(f"- {one}" for one in _references(options))]) + "\n"


def _classification(slides: dict[str, list[Fields]]) -> str:
    models = _list(f"{one['title']} (sha256 {one['sha256']})" for one in _values(slides, "model"))
    computed = _list(
        f"{one['backend']}, {one['precision']}, on {one['device_class']}" for one in _values(slides, "computed_with")
    )
    definitions = _list(f"`{one}`" for one in _values(slides, "definition"))
    cut_offs = _list(
        f"{one['p_atypical']:g} (`{one['name']}`)" if one["name"] != "given" else f"{one['p_atypical']:g}"
        for one in _values(slides, "thresholds")
    )
    hard = _list(f"{one['p_hard']:g}" for one in _values(slides, "thresholds"))
    return (
        f"Candidate mitotic figures were classified as atypical (AMF) or normal (NMF) with wsiamf "
        f"{_list(map(str, _values(slides, 'wsiamf')))} (algorithm version "
        f"{_list(map(str, _values(slides, 'algorithm_version')))}), model {models}, computed with {computed}. What is atypical "
        f"follows the convention {definitions}. A figure was called AMF from a calibrated probability of {cut_offs} on, and "
        f"marked as hard, likely to divide experts, from a probability of {hard} on."
    )


def _counting(slides: dict[str, list[Fields]], options: Fields) -> str:
    areas = _list(
        f"{_AREAS.get(one['value'], one['value'])} ({_count(one['n_slides'], 'slide')})" for one in slides["area_kind"]
    )
    least = (
        ""
        if options["min_score"] is None
        else f" Detections with a score below {options['min_score']:g} were left out."
    )
    return (
        f"Detections closer than {options['merge_um']:g} µm to a better one were taken for one figure.{least} Densities are "
        f"figures per mm² within {areas}. A slide's hotspot is the rectangle of {options['hotspot_mm2']:g} mm² with sides of "
        f"4:3, in either orientation and at least {MIN_SHARE:.0%} within that area, that holds most figures; a case's hotspot "
        "is the densest single one of its slides."
    )


def _slide_intervals(slides: dict[str, list[Fields]]) -> str:
    own = [one for one in _values(slides, "error_rates") if one is not None]
    corrected = (
        f" Fractions of slides were also corrected for error rates measured on {_list(one['domain'] for one in own)} (Rogan "
        "and Gladen)."
        if own
        else ""
    )
    return (
        "For single slides, intervals of the fraction are Wilson's and of densities Garwood's, for the sampling of figures "
        "alone; that of the expected fraction is Poisson-binomial, from the calibrated probabilities."
        f"{corrected} Slides with fewer than {FEW} figures were flagged."
    )


def _cohort_intervals(document: Fields) -> str:
    overall, intervals = document["overall"], document["intervals"]
    figures = (
        f"The pooled fraction of the cohort (sum of AMF over sum of AMF and NMF) was {_with_interval(overall, POOLED)}, the "
        f"mean of the cases' fractions {_with_interval(overall, MEAN)}. "
        if overall["n_ok"]
        else ""
    )
    return (
        f"{figures}Figures of one case are not independent, so that 95 % intervals come from drawing whole cases with "
        f"replacement ({intervals['draws']:,} draws, seed {intervals['seed']}): {intervals['method']} (after Hesterberg). They "
        f"cover {intervals['covers']}, and are not given for fewer than {intervals['min_cases']} cases. "
        f"{intervals['measured_coverage']}"
    )


def _references(options: Fields) -> Iterator[str]:
    yield "Kotte 2025, arXiv:2509.10502: the multi-head classifier that the model follows."
    yield "Bertram et al., BVM 2025: AMi-Br, which labels and definition come from."
    yield "Banerjee et al. 2025, arXiv:2506.21444: atypical mitotic figures, benchmark and AtNorM-MD."
    yield "Donovan et al. 2021, doi:10.1177/0300985820980049: morphology of mitotic figures."
    if options["hotspot_mm2"] == 2.37:
        yield "Meuten et al. 2016, doi:10.1177/0300985815593349: the counting area of 2.37 mm²."
    yield "Cree et al. 2021, doi:10.1038/s41379-021-00825-7: mitoses per mm²."
    yield "Wilson 1927 (proportions); Garwood 1936 (rates); Hesterberg 2015 (bootstrap quantiles for few units)."


def _values(slides: dict[str, list[Fields]], name: str) -> list[Any]:
    return [one["value"] for one in slides[name]]


def _list(texts: Any) -> str:
    """Distinct texts in their order, with commas and an ``and``."""
    *first, last = dict.fromkeys(texts)
    return f"{', '.join(first)} and {last}" if first else str(last)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _with_interval(fields: Fields, name: str) -> str:
    if fields[name] is None:
        return f"{fields[f'{name}_status']}"
    interval = fields[f"{name}_interval95"]
    if interval is None:
        return f"{fields[name]:.1%} (interval {fields[f'{name}_interval95_status']})"
    return f"{fields[name]:.1%} (95 % interval {interval['low']:.1%} to {interval['high']:.1%})"


def _short(fields: Fields, name: str) -> str:
    if fields[name] is None:
        return "not estimable"
    interval = fields[f"{name}_interval95"]
    return f"{fields[name]:.1%}" + (f" ({interval['low']:.1%} to {interval['high']:.1%})" if interval else "")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_plain(cell) for cell in line)} |" for line in lines)


def _plain(text: str) -> str:
    """A text that stays in its line and cell of Markdown."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
