"""``render_slide``: a slide's summary, table and pictures to its page. Equal input gives equal bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
import shapely
from markupsafe import Markup
from numpy.typing import NDArray

from wsiamf.geometry import Bounds
from wsiamf.report.cards import BAR_UM, shelves
from wsiamf.report.cautions import flag_sentences, outside_sentence, status_rows
from wsiamf.report.density import Density, density_of, gradient, palette
from wsiamf.report.fractions import axis_end, fraction_rows, place, ticks
from wsiamf.report.galleries import select_galleries
from wsiamf.report.pictures import Pixels, crop_uris, overview_uri, palette_uri
from wsiamf.report.probabilities import bars_in_words, histogram, reliability
from wsiamf.report.provenance import provenance_rows, published
from wsiamf.report.reference import CAVEAT, Reference
from wsiamf.report.slide_map import Drawing
from wsiamf.report.template import render
from wsiamf.report.wording import NOT_ESTIMABLE, limits, limits_of, number, number_range, percent, percent_range
from wsiamf.spec import ModelSpec
from wsiamf.statuses import OK

Summary = Mapping[str, Any]
Area = shapely.MultiPolygon

_COUNTED_COLUMNS: Final = ("x", "y", "label", "p_atypical")
_CROP_DECIMALS: Final = 2


@dataclass(frozen=True)
class Pictures:
    """What was read of the slide for its page.

    Args:
        overview: (height, width, 3) RGB uint8, all of level 0 on a small scale; None where it was not read.
        crops: (S, S, 3) RGB uint8 by row of the table.
        crop_mpp: um per px of a crop.
    """

    overview: Pixels | None = None
    crops: Mapping[int, Pixels] = field(default_factory=dict)
    crop_mpp: float = 0.25


@dataclass(frozen=True)
class SlideMaterial:
    """All that a slide's page is made of.

    Args:
        summary: The content of ``summary.json``.
        table: The content of ``predictions.parquet``.
        record: The run record; only its publishable part is used.
        area: Where figures count, level-0 px; None where that is not at hand.
        fields: Named fields and their areas, level-0 px.
        spec, card: Of the model; None where its bundle is not at hand.
        pictures: From the slide; None where it is not at hand.
        notes: What the reader should know of how the page came about, one line each.
        references: To draw beside the slide's own fractions.
    """

    summary: Summary
    table: pd.DataFrame
    record: Mapping[str, Any]
    area: Area | None = None
    fields: Sequence[tuple[str, Area]] = ()
    spec: ModelSpec | None = None
    card: str = ""
    pictures: Pictures | None = None
    notes: Sequence[str] = ()
    references: Sequence[Reference] = ()


@dataclass(frozen=True)
class Tile:
    """A number in large type, and what stands below it."""

    name: str
    value: str
    text: str


def render_slide(material: SlideMaterial) -> str:
    """The page of one slide."""
    summary, table = material.summary, material.table
    record = published(material.record)
    pictures = material.pictures or Pictures()
    galleries = select_galleries(table, record["options"]["seed"])
    uses = Counter(row for gallery in galleries for row in gallery.rows)
    wanted = {row: crop for row, crop in pictures.crops.items() if row in uses}
    rows = fraction_rows(summary)
    end = axis_end(rows, material.references)
    counted = table.loc[table["status"] == OK, list(_COUNTED_COLUMNS)]  # and no more: there may be a million rows
    return render(
        "slide.html",
        more_style=_bar_style(wanted, pictures.crop_mpp),
        name=str(summary["slide"]["name"]),
        model=str(record["model"]["title"]),
        summary=summary,
        tiles=list(_tiles(summary)),
        cautions=[*flag_sentences(summary["flags"]), *filter(None, [outside_sentence(summary)])],
        warnings=[str(text) for text in record.get("warnings", [])],
        notes=list(material.notes),
        fractions=rows,
        axis=ticks(end),
        place=lambda share: place(share, end),
        references=material.references,
        reference_caveat=CAVEAT,
        statuses=status_rows(summary["n_by_status"]),
        hotspots=[_counts_row(str(one["rank"]), one) for one in summary["hotspots"] or ()],
        regions=[_counts_row(str(one["name"]), one) for one in summary.get("regions") or ()],
        shelves=shelves(galleries, table, crop_uris(wanted, uses)),
        bar_um=f"{BAR_UM:g}",
        provenance=provenance_rows(record, summary),
        percent=percent,
        number=number,
        **_map_context(material, counted, pictures),
        **_probability_context(material, counted),
    )


def _tiles(summary: Summary) -> Iterator[Tile]:
    if summary["amf_fraction"] is None:
        yield Tile("AMF fraction", NOT_ESTIMABLE, str(summary["amf_fraction_status"]))
    else:
        low, high = limits_of(summary, "amf_fraction_expected_interval95")
        yield Tile(
            "AMF fraction, expected",
            percent(summary["amf_fraction_expected"]),
            f"95 % interval {percent_range(low, high)}, for what the experts' majority counts on these figures",
        )
        yield Tile(
            "AMF fraction, counted",
            percent(summary["amf_fraction"]),
            f"{summary['n_amf']:,} AMF and {summary['n_nmf']:,} NMF at the threshold; AMF : NMF ratio {_ratio(summary)}",
        )
    yield Tile("Mitotic figures", f"{summary['n_ok']:,}", f"of {summary['n_candidates']:,} candidates count")
    yield Tile("Density", *_density_words(summary))
    if summary["hotspots"]:
        first = summary["hotspots"][0]
        yield Tile(
            "Densest hotspot",
            f"{first['n_amf']:,} AMF of {first['n']:,}",
            f"in {number(first['area_mm2'])} mm², chosen as the densest of the slide: its count is high by selection",
        )
    if summary["n_hard"] is not None and summary["n_ok"]:
        yield Tile(
            "Hard cases", f"{summary['n_hard']:,}", "figures that experts are likely to disagree on; review them"
        )


def _ratio(summary: Summary) -> str:
    value = summary["amf_to_nmf_ratio"]
    return str(summary["amf_to_nmf_ratio_status"]) if value is None else number(value)


def _density_words(fields: Mapping[str, Any]) -> tuple[str, str]:
    if fields["mf_per_mm2"] is None:
        return NOT_ESTIMABLE, str(fields["mf_per_mm2_status"])
    low, high = limits_of(fields, "mf_per_mm2_sampling_interval")
    kind = "regions of interest" if fields["area_kind"] == "roi" else "tissue, found automatically"
    return (
        f"{number(fields['mf_per_mm2'])} per mm²",
        f"in {number(fields['area_mm2'])} mm² of {kind}; sampling interval (Garwood, nominal 95 %) {number_range(low, high)}",
    )


@dataclass(frozen=True)
class CountsRow:
    """A hotspot or a named field in a table."""

    name: str
    area: str
    share: str
    n: int
    n_amf: int
    fraction: str
    fraction_range: str
    density: str
    density_range: str


def _counts_row(name: str, one: Mapping[str, Any]) -> CountsRow:
    fraction, density = (limits(one, f"{key}_sampling_interval") for key in ("amf_fraction", "mf_per_mm2"))
    return CountsRow(
        name=name,
        area=number(one["area_mm2"]),
        share=f"{100 * one['share_in_area']:.0f}\N{NO-BREAK SPACE}%",
        n=one["n"],
        n_amf=one["n_amf"],
        fraction=NOT_ESTIMABLE if one["amf_fraction"] is None else percent(one["amf_fraction"]),
        fraction_range=percent_range(*fraction) if fraction else "",
        density=NOT_ESTIMABLE if one["mf_per_mm2"] is None else number(one["mf_per_mm2"]),
        density_range=number_range(*density) if density else "",
    )


def _map_context(material: SlideMaterial, counted: pd.DataFrame, pictures: Pictures) -> dict[str, Any]:
    summary = material.summary
    facts, mpp = summary["slide"], float(material.record["slide"]["mpp"])
    bounds = Bounds(**facts["bounds"])
    seed = material.record["options"]["seed"]
    drawn = Drawing(bounds, mpp).map(counted, summary["hotspots"] or (), material.area, material.fields, seed)
    density = _density(material, counted, bounds, mpp)
    return {
        "map": drawn,
        "overview": _overview(pictures.overview, facts, bounds),
        "density": density,
        "density_map": None if density is None else palette_uri(density.as_index(), palette()),
        "gradient": gradient(),
    }


def _density(material: SlideMaterial, counted: pd.DataFrame, bounds: Bounds, mpp: float) -> Density | None:
    if counted.empty:
        return None
    x, y = (counted[name].to_numpy(dtype=np.float64) for name in ("x", "y"))
    density = density_of(x, y, bounds, material.area, mpp=mpp, hotspot_mm2=material.summary["hotspot_mm2"])
    return density if density.highest > 0 else None


def _overview(pixels: NDArray[np.uint8] | None, facts: Mapping[str, Any], bounds: Bounds) -> Markup | None:
    """The picture of the part within the bounds."""
    if pixels is None:
        return None
    height, width = pixels.shape[:2]
    right, down = width / facts["width"], height / facts["height"]
    left, top = round(bounds.x * right), round(bounds.y * down)
    end, bottom = round((bounds.x + bounds.width) * right), round((bounds.y + bounds.height) * down)
    return overview_uri(np.ascontiguousarray(pixels[top : max(bottom, top + 1), left : max(end, left + 1)]))


def _probability_context(material: SlideMaterial, counted: pd.DataFrame) -> dict[str, Any]:
    summary = material.summary
    threshold = float(summary["thresholds"]["p_atypical"])
    bars = histogram(counted["p_atypical"].to_numpy(dtype=np.float64), threshold)
    found = None
    if material.spec is not None:
        found = reliability(material.spec, material.card, str(summary["thresholds"]["name"]))
    return {
        "bars": bars,
        "most": max(bar.n for bar in bars),
        "bars_text": bars_in_words(bars, threshold),
        "threshold": threshold,
        "reliability": found,
    }


def _bar_style(crops: Mapping[int, Pixels], crop_mpp: float) -> str:
    """The scale bar's width on this page's crops."""
    side_px = next(iter(crops.values())).shape[1] if crops else 128
    share = min(1.0, BAR_UM / (crop_mpp * side_px))
    return f".bar{{width:{round(100 * share, _CROP_DECIMALS):g}%}}"
