"""The arithmetic of the pages: references, histogram, density, axes, maps, the model's card."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.made_predictions import FRAME, made_table
from wsiamf.bundle import open_bundle
from wsiamf.errors import ConfigError
from wsiamf.geometry import Bounds
from wsiamf.report import parse_reference
from wsiamf.report.cautions import flag_sentences
from wsiamf.report.density import density_of
from wsiamf.report.fractions import FractionRow, axis_end, ticks
from wsiamf.report.probabilities import histogram, reliability
from wsiamf.report.slide_map import Drawing
from wsiamf.report.wording import number

SHARES = st.floats(0, 1)


def test_a_reference_is_a_fraction_or_a_ratio() -> None:
    plain = parse_reference('0.27:"Somebody: 2020"')
    assert (plain.fraction, plain.source, plain.given_as) == (0.27, "Somebody: 2020", "fraction")
    ratio = parse_reference("ratio=0.27:Lashen et al. 2022")
    assert ratio.fraction == pytest.approx(0.27 / 1.27)
    assert ratio.ratio == pytest.approx(0.27)
    assert parse_reference("ratio=2:x").fraction == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "text", ["0.27", "0.27:", "0.27: ", "x:y", "1.2:y", "-1:y", "nan:y", "ratio=inf:y", "ratio=-1:y", "odds=1:y", ":y"]
)
def test_a_reference_without_number_or_source_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--reference"):
        parse_reference(text)


@settings(max_examples=40)
@given(st.lists(SHARES, max_size=60), SHARES)
def test_the_histogram_holds_every_figure_on_its_side_of_the_threshold(p: list[float], threshold: float) -> None:
    values = np.array(p)
    bars = histogram(values, threshold)
    assert sum(bar.n for bar in bars) == len(p)
    assert sum(bar.n_amf for bar in bars) == (values >= threshold).sum()
    assert [bar.low for bar in bars] == pytest.approx(np.arange(20) / 20)
    assert histogram(np.array([0.15]), threshold)[3].n == 1
    assert histogram(np.array([1.0]), threshold)[19].n == 1


def test_the_density_of_evenly_spread_figures_is_their_number_over_the_area() -> None:
    side_px, mpp = 20_000, 0.25
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(50, side_px, 100.0), np.arange(50, side_px, 100.0)))
    area = shapely.MultiPolygon([shapely.box(0, 0, side_px, side_px / 2)])
    inside = y < side_px / 2
    density = density_of(x[inside], y[inside], Bounds(0, 0, side_px, side_px), area, mpp=mpp, hotspot_mm2=2.37)
    per_mm2 = 1e6 / (100 * mpp) ** 2
    known = density.per_mm2[~np.isnan(density.per_mm2)]
    assert np.isnan(density.per_mm2[-1]).all()  # below the area
    assert known.mean() == pytest.approx(per_mm2, rel=0.03)
    assert known.min() > 0.85 * per_mm2  # at the rim too
    assert density.of_hotspot
    assert 4 * np.pi * (density.sigma_um / 1000) ** 2 == pytest.approx(2.37)


@settings(max_examples=40)
@given(st.lists(st.tuples(SHARES, SHARES), max_size=8))
def test_an_axis_shows_all_that_is_drawn(pairs: list[tuple[float, float]]) -> None:
    rows = [FractionRow("", "", "", "", at=a, ends=(min(a, b), max(a, b))) for a, b in pairs]
    end = axis_end(rows)
    assert max([share for pair in pairs for share in pair], default=0) <= end <= 1
    assert ticks(end)[0] == ("0%", "0")
    assert float(ticks(end)[-1][0].rstrip("%")) <= 100


def test_dots_lie_where_the_figures_are() -> None:
    table = made_table(30)
    counted = table[table["status"] == "ok"]
    drawing = Drawing(FRAME.bounds, FRAME.mpp)
    path = drawing.map(counted, [], None, [], 0)
    steps = [step.split("h0")[0].split() for step in f"{path.amf}m0 0h0".removeprefix("m").split("m")][:-1]
    places = np.cumsum(np.array(steps, dtype=float), axis=0)
    amf = counted[counted["label"] == "AMF"]
    expected = (amf[["x", "y"]].to_numpy() - [FRAME.bounds.x, FRAME.bounds.y]) * 1000 / FRAME.bounds.width
    np.testing.assert_allclose(places, expected, atol=0.051)
    assert (path.width, path.height) == (1000, 800)
    assert path.bar.label == "2 mm"
    assert path.bar.length == pytest.approx(2000 / 0.25 * 1000 / FRAME.bounds.width, abs=0.1)


def test_a_mask_of_thousands_of_holes_is_drawn_without_the_smallest() -> None:
    corners = np.arange(0, 60_000, 1_000, dtype=float)
    holes = [shapely.box(x, y, x + 400 + y / 200, y + 400 + y / 200) for x in corners for y in corners]
    ring = shapely.box(-1_000, -1_000, 61_000, 61_000).exterior.coords
    whole = shapely.MultiPolygon([(ring, [hole.exterior.coords for hole in holes])])
    drawing = Drawing(Bounds(0, 0, 62_000, 62_000), 0.25)
    path = drawing.map(made_table(3), [], whole, [], seed=0).area
    assert len(holes) > 3_000
    assert 1_000 < path.count("z") < 1_300  # outline and largest holes; four corners and the first again, each
    assert "-16.1" in path.split("z")[0]  # the outline comes first


def test_a_rough_outline_is_simplified_until_it_is_light() -> None:
    angle = np.linspace(0, 2 * np.pi, 40_000)
    radius = 20_000 + 2_000 * np.sin(900 * angle)
    shape = shapely.Polygon(np.column_stack([25_000 + radius * np.cos(angle), 25_000 + radius * np.sin(angle)]))
    path = Drawing(Bounds(0, 0, 50_000, 50_000), 0.25).map(made_table(3), [], shapely.MultiPolygon([shape]), [], 0)
    assert 1_000 < path.area.count("L") <= 6_000
    assert path.area.count("z") == 1


def test_a_guessed_resolution_is_said_in_words() -> None:
    assert "guessed" in flag_sentences(["mpp_from_objective_power"])[0]


def test_the_card_of_the_shipped_model_is_read() -> None:
    bundle = open_bundle()
    found = reliability(bundle.spec, bundle.read_card(), "count")
    assert [one.n for one in found.bins][:2] == [1581, 332]
    assert {one.domain for one in found.rates} == {"AMi-Br", "AtNorM-MD"}
    assert any("not a detector" in text for text in found.limits)
    bare = reliability(bundle.spec, "# A card without sections\n", "0.62")
    assert (bare.bins, bare.rates, bare.limits) == ((), (), ())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.1, "0.1"),
        (0.0512, "0.0512"),
        (2.37, "2.37"),
        (23.32, "23.3"),
        (1234.5, "1,234"),
        (0.9996, "1.00"),
        (9.999, "10.0"),
        (4e-7, "less than 0.000001"),
        (99.96, "100"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text
