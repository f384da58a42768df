"""``render_cohort``: a cohort's ``cohort.json`` and rows to its page. Equal input gives equal bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from wsiamf.report.cautions import flag_sentences
from wsiamf.report.fractions import INTERVAL95, FractionRow, axis_end, place, ticks
from wsiamf.report.provenance import options_text
from wsiamf.report.ranked import RankedPlot, ranked_plot
from wsiamf.report.reference import CAVEAT, Reference
from wsiamf.report.template import REPORT, render
from wsiamf.report.wording import NOT_ESTIMABLE, NOTHING, counted, limits, number, percent, percent_range
from wsiamf.summary.slide_summary import FEW, FEW_FLAG, NOT_ESTIMABLE_FLAG

Row = Mapping[str, Any]

POOLED: Final = "pooled_amf_fraction"
MEAN: Final = "mean_of_case_amf_fractions"
EXPECTED: Final = "pooled_amf_fraction_expected"
PROPERTIES: Final = (("group", "Group"), ("tumor", "Tumour"), ("scanner", "Scanner"))
_STATUSES: Final = {
    "done": "done",
    "few": f"few (under {FEW})",
    "no_candidates": "no figures",
    "failed": "failed",
}
_REASONS: Final = {"few": "", "failed": "see failures"}
"""What stands in place of a reason that stands elsewhere on the page."""
_FIGURES: Final = {
    EXPECTED: (
        "Pooled, expected from the probabilities",
        (
            "Sum of the calibrated probabilities over all figures: what the experts' majority would count on average, where "
            "the probabilities hold. A case weighs as much as it has figures."
        ),
    ),
    POOLED: ("Pooled, counted", "Sum of AMF over sum of AMF and NMF: a case weighs as much as it has figures."),
    MEAN: ("Mean of the cases' fractions", "Every case with a figure weighs the same, however few figures it has."),
}


@dataclass(frozen=True)
class CohortMaterial:
    """All that a cohort's page is made of.

    Args:
        document: The content of ``cohort.json``.
        document_sha256: Of that file, which the page names, so that it can be told whether both belong together.
        rows: Of ``cohort.csv``, one a slide.
        failures: Of ``failures.csv``.
        reported: Ids of the slides that have a page of their own.
        references: To draw beside the cohort's own fractions.
    """

    document: Mapping[str, Any]
    document_sha256: str
    rows: Sequence[Row]
    failures: Sequence[Row]
    reported: frozenset[str] = field(default_factory=frozenset)
    references: Sequence[Reference] = ()


@dataclass(frozen=True)
class Step:
    """A box of the flow."""

    value: str
    text: str
    below: str


@dataclass(frozen=True)
class Stratum:
    """A row of the tables by group, tumour and scanner."""

    name: str
    n_cases: int
    n_cases_with_figures: int
    n_ok: int
    n_amf: int
    pooled: FractionRow
    mean: str


@dataclass(frozen=True)
class SlideRow:
    """A row of the table of slides; ``sort_`` fields are for the page's script, empty where there is no number."""

    slide_id: str
    link: str
    case: str
    stated: tuple[str, ...]
    status: str
    status_text: str
    n_ok: str
    n_amf: str
    expected: str
    interval: str
    fraction: str
    density: str
    hotspot: str
    n_hard: str
    remark: str
    sort: Mapping[str, str]


def render_cohort(material: CohortMaterial) -> str:
    """The page of a cohort."""
    document = material.document
    overall = document["overall"]
    figures = [_figure(overall, name) for name in _FIGURES] if overall["n_ok"] else []
    strata = {title: _strata(document, name) for name, title in PROPERTIES if document[f"by_{name}"]}
    plots = [*figures, *(one.pooled for rows in strata.values() for one in rows)]
    end = axis_end(plots, material.references)
    shown = [(name, title) for name, title in PROPERTIES if any(row.get(name) is not None for row in material.rows)]
    slides = [_slide(row, shown, material.reported) for row in material.rows]
    return render(
        "cohort.html",
        document=document,
        made_from=material.document_sha256,
        overall=overall,
        flow=list(_flow(document["flow"])),
        figures=figures,
        strata=strata,
        strata_notes=_strata_notes(document["rules"]["figures"]),
        intervals=document["intervals"],
        axis=ticks(end),
        place=lambda share: place(share, end),
        references=material.references,
        reference_caveat=CAVEAT,
        ranked=_ranked(material),
        slides=slides,
        properties=shown,
        choices=[(name, title, _choices(material.rows, name)) for name, title in shown],
        statuses=[(name, text) for name, text in _STATUSES.items() if document["n_by_status"].get(name)],
        failures=[_failure(row) for row in material.failures],
        warnings=document["warnings"],
        provenance=[(name, value) for name, value in _provenance(document) if value],
        few=FEW,
        counted=counted,
        percent=percent,
    )


def _flow(flow: Mapping[str, int]) -> Iterator[Step]:
    failed = flow["slides_failed"]
    yield Step(f"{flow['slides_listed']:,}", "slides listed", "")
    yield Step(f"{flow['slides_read']:,}", "slides read", f"{failed:,} failed" if failed else "none failed")
    yield Step(f"{flow['slides_with_candidates']:,}", "with candidates", "")
    yield Step(f"{flow['slides_with_figures']:,}", "with figures that count", "")
    yield Step(
        f"{flow[f'slides_with_{FEW}_figures_or_more']:,}", f"with {FEW} figures or more", "enough for a slide's share"
    )
    incomplete = flow["cases_incomplete"]
    yield Step(
        f"{flow['cases']:,}",
        "cases",
        f"{flow['cases_with_figures']:,} with figures"
        + (f"; {incomplete:,} incomplete, a slide failed" if incomplete else ""),
    )


def _figure(overall: Mapping[str, Any], name: str) -> FractionRow:
    title, meaning = _FIGURES[name]
    value, ends = overall[name], limits(overall, f"{name}_interval95")
    why = f"interval {overall[f'{name}_interval95_status']}"
    return FractionRow(
        title,
        percent(value) if value is not None else str(overall[f"{name}_status"]),
        f"95 % interval {percent_range(*ends)}" if ends else why,
        meaning,
        at=value,
        ends=ends,
        kind=INTERVAL95,
    )


def _strata(document: Mapping[str, Any], name: str) -> list[Stratum]:
    return [
        Stratum(
            name="not stated" if one[name] is None else str(one[name]),
            n_cases=one["n_cases"],
            n_cases_with_figures=one["n_cases_with_figures"],
            n_ok=one["n_ok"],
            n_amf=one["n_amf"],
            pooled=_figure(one, POOLED),
            mean=_with_range(one, MEAN),
        )
        for one in document[f"by_{name}"]
    ]


def _strata_notes(rules: Mapping[str, str]) -> dict[str, str]:
    """By what each property's rows go, from the rules that ``cohort.json`` states."""
    by_case, by_slide = rules.get("by_group, by_tumor", ""), rules.get("by_scanner", "")
    return {title: by_slide if name == "scanner" else by_case for name, title in PROPERTIES}


def _with_range(fields: Mapping[str, Any], name: str) -> str:
    if fields[name] is None:
        return NOT_ESTIMABLE
    ends = limits(fields, f"{name}_interval95")
    return percent(fields[name]) + (f" ({percent_range(*ends)})" if ends else "")


def _ranked(material: CohortMaterial) -> RankedPlot | None:
    return ranked_plot(material.rows, material.references, lambda slide_id: _link(slide_id, material.reported))


def _slide(row: Row, shown: Sequence[tuple[str, str]], reported: frozenset[str]) -> SlideRow:
    low, high = (row.get(f"amf_fraction_expected_interval95_{end}") for end in ("low", "high"))
    status = str(row["status"])
    flags = [flag for flag in str(row.get("flags") or "").split("; ") if flag not in ("", FEW_FLAG, NOT_ESTIMABLE_FLAG)]
    reason = _REASONS[status] if status in _REASONS else str(row.get("reason") or "")
    remark = " ".join(filter(None, [reason, *flag_sentences(flags)]))
    numbers = ("n_ok", "n_amf", "amf_fraction_expected", "amf_fraction", "mf_per_mm2", "hotspot_n_amf", "n_hard")
    return SlideRow(
        slide_id=str(row["slide_id"]),
        link=_link(str(row["slide_id"]), reported),
        case=str(row["case_id"]) if row.get("case_id") is not None else NOTHING,
        stated=tuple(NOTHING if row.get(name) is None else str(row[name]) for name, _ in shown),
        status=status,
        status_text=_STATUSES.get(status, status),
        n_ok=_whole(row.get("n_ok")),
        n_amf=_whole(row.get("n_amf")),
        expected=_share(row.get("amf_fraction_expected")),
        interval="" if low is None or high is None else percent_range(low, high),
        fraction=_share(row.get("amf_fraction")),
        density=NOTHING if row.get("mf_per_mm2") is None else number(row["mf_per_mm2"]),
        hotspot=NOTHING if row.get("hotspot_n") is None else f"{row['hotspot_n_amf']:,} of {row['hotspot_n']:,}",
        n_hard=_whole(row.get("n_hard")),
        remark=remark,
        sort={name: "" if row.get(name) is None else f"{row[name]:g}" for name in numbers},
    )


def _link(slide_id: str, reported: frozenset[str]) -> str:
    """The relative address of a slide's page; empty where it has none."""
    return f"./{quote(slide_id, safe='')}/{REPORT}" if slide_id in reported else ""


def _whole(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"


def _share(value: float | None) -> str:
    return NOTHING if value is None else percent(value)


def _choices(rows: Sequence[Row], name: str) -> list[str]:
    return sorted({NOTHING if row.get(name) is None else str(row[name]) for row in rows})


def _failure(row: Row) -> tuple[str, str, str, str]:
    return str(row["slide_id"]), str(row["kind"]), str(row["attempts"]), str(row["reason"])


def _provenance(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    stated = document["provenance"]
    yield "Manifest", str(stated["manifest"].get("name") or "")
    yield "Manifest sha256", str(stated["manifest"].get("sha256") or "")
    slides = stated["slides"]
    for name, title in (("model", "Model"), ("definition", "What is atypical"), ("thresholds", "Thresholds")):
        yield title, _values(slides.get(name, ()))
    yield "Computed with", _values(slides.get("computed_with", ()))
    yield "wsiamf", _values(slides.get("wsiamf", ()))
    yield "Algorithm version", _values(slides.get("algorithm_version", ()))
    yield "Options", options_text(stated["options"])
    yield "Libraries", _values(slides.get("versions", ()))
    yield "Tables made with", f"wsiamf {stated['collected_with']}"


def _values(found: Sequence[Mapping[str, Any]]) -> str:
    """Values with the number of slides that have each, where there are several."""
    texts = [_text(one["value"]) for one in found]
    if len(texts) == 1:
        return texts[0]
    return "; ".join(f"{text} ({counted(one['n_slides'], 'slide')})" for text, one in zip(texts, found, strict=True))


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return str(value)
