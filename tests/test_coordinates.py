"""The coordinate check: each mistake is named and mended, right points raise no alarm, and little is said of little."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Event

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.coordinate_slide import write_pyramid_tiff
from tests.made_vendor_slides import write_mrxs, write_scn
from tests.painted_slide import ArraySlide, Painted, paint_slide
from tests.tiny_model import tiny_bundle
from wsiamf import read_candidates, screen_slide
from wsiamf.candidates import Placement
from wsiamf.cli.main import run
from wsiamf.coordinates import Finding, SlideMap, check_points, read_overview, share_off_slide
from wsiamf.coordinates.contrast import NucleusContrast
from wsiamf.coordinates.mistakes import mistakes
from wsiamf.errors import CandidateError, ConfigError
from wsiamf.geometry import Bounds, SlideFrame
from wsiamf.inference import load_model
from wsiamf.regions import tissue_mask
from wsiamf.screen.points_fit import PointsFit
from wsiamf.screen.tissue import tissue_meanwhile
from wsiamf.slides import Slide, open_slide

Floats = NDArray[np.float64]

RIGHT_AND_USED = {
    "--points-unit um": (Placement(unit="um"), Placement()),
    "--points-unit mm": (Placement(unit="mm"), Placement()),
    "--points-unit px": (Placement(), Placement(unit="um")),
    "--points-swap-xy": (Placement(swap_xy=True), Placement()),
    "--points-scale 2": (Placement(scale=2.0), Placement()),
    "--points-scale 0.5": (Placement(scale=0.5), Placement()),
    "--points-scale 0.25": (Placement(scale=0.25), Placement()),
    "--points-scale 4": (Placement(scale=4.0), Placement(scale=2.0)),
    "--points-frame qupath": (Placement(frame="qupath"), Placement()),
    "--points-frame level0": (Placement(), Placement(frame="qupath")),
    "--points-flip-y": (Placement(flip_y=True), Placement()),
    "leave out --points-swap-xy": (Placement(), Placement(swap_xy=True)),
    "leave out --points-flip-y": (Placement(unit="um"), Placement(unit="um", flip_y=True)),
    "leave out --points-scale": (Placement(), Placement(scale=2.0)),
}


def seen_of(slide: Slide) -> SlideMap:
    overview = read_overview(slide, slide.mpp, Event())
    return SlideMap(overview, tissue_mask(overview.coarse.pixels, overview.coarse.scale, slide.frame))


@cache
def painted(seed: int, *, bounds: bool = False) -> tuple[Painted, SlideMap]:
    """A slide of 0.22 um/px, at which um and a factor of 4 are told apart."""
    made = paint_slide(seed, size_mm=(2.2, 1.6), mpp=0.22, bounds_um=(150.0, 250.0) if bounds else None)
    return made, seen_of(made.slide)


def in_file(points: Floats, right: Placement, frame: SlideFrame) -> tuple[Floats, Floats]:
    """The numbers that ``right`` turns into these points: found from where it puts three corners."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    origin, along, down = np.stack(right.level0(corners[:, 0], corners[:, 1], frame), axis=1)
    matrix = np.stack([along - origin, down - origin], axis=1)
    x, y = np.linalg.solve(matrix, (points - origin).T)
    return x, y


def check(points: Floats, placement: Placement, slide: Slide, seen: SlideMap) -> Finding:
    """Of (N, 2) points."""
    return check_points(points[:, 0], points[:, 1], placement, slide, seen)


def checked(made: Painted, seen: SlideMap, points: Floats, right: Placement, used: Placement) -> Finding:
    x, y = in_file(points, right, made.slide.frame)
    return check_points(x, y, used, made.slide, seen)


class TestMistakes:
    @pytest.mark.parametrize("option", RIGHT_AND_USED)
    def test_each_is_named_and_mended(self, option: str) -> None:
        right, used = RIGHT_AND_USED[option]
        made, seen = painted(1, bounds="frame" in option)
        finding = checked(made, seen, made.figures[:60], right, used)
        assert finding.stops
        assert finding.remedy == option
        assert finding.placement == right
        assert "look like" in finding.text
        assert checked(made, seen, made.figures[:60], right, right).verdict == "fits"

    @pytest.mark.parametrize("option", ["--points-unit um", "--points-unit mm", "--points-swap-xy", "--points-flip-y"])
    def test_on_a_region_full_of_tissue_nuclei_alone_tell(self, option: str) -> None:
        made = paint_slide(4, size_mm=(1.8, 1.3), shape="full", down=4)
        right, used = RIGHT_AND_USED[option]
        finding = checked(made, seen_of(made.slide), made.figures[:40], right, used)
        assert (finding.remedy, finding.stops) == (option, True)

    def test_one_placement_under_two_names_is_the_commoner_one(self) -> None:
        made = paint_slide(3, size_mm=(1.6, 1.2), mpp=0.25)
        finding = checked(made, seen_of(made.slide), made.figures[:40], Placement(unit="um"), Placement())
        assert finding.remedy == "--points-unit um"  # a factor of 4, which is the same at 0.25 um/px

    def test_off_the_tissue_without_a_usual_mistake(self) -> None:
        made, seen = painted(1)
        glass = np.argwhere(~seen.tissue)[:: (~seen.tissue).sum() // 30, ::-1]
        points = (glass + 0.5) * np.asarray(seen.overview.coarse.scale)
        finding = check(points, Placement(), made.slide, seen)
        assert finding.verdict == "off_tissue"
        assert finding.remedy == ""
        assert "may belong to another slide than painted.svs" in finding.text

    def test_off_the_slide_without_a_usual_mistake(self) -> None:
        made, seen = painted(1)
        finding = check((made.figures[:40] + 40_000), Placement(), made.slide, seen)
        assert finding.verdict == "off_slide"
        assert "40 of 40 points lie off the slide" in finding.text

    def test_places_on_nothing_are_doubted_and_do_not_stop(self) -> None:
        made = paint_slide(4, size_mm=(1.8, 1.3), shape="full", down=4)
        points = np.random.default_rng(0).uniform(0, 1, (4000, 2)) * made.slide.dimensions
        finding = check(points, Placement(), made.slide, seen_of(made.slide))
        assert finding.verdict == "doubtful"
        assert re.match(r"only \d+ of \d+ points looked at \(of 4,000\) sit on anything darker", finding.text)
        assert not finding.stops


class TestNoAlarm:
    @given(seed=st.integers(0, 10_000), n=st.integers(1, 300), click_um=st.floats(0, 2.5), bounds=st.booleans())
    @settings(max_examples=60, deadline=None, derandomize=True)
    def test_on_points_near_figures_and_nuclei(self, seed: int, n: int, click_um: float, bounds: bool) -> None:
        made, seen = painted(seed % 3, bounds=bounds)
        rng = np.random.default_rng(seed)
        both = np.concatenate([made.figures, made.nuclei[: len(made.figures) // 2]])
        points = both[rng.permutation(len(both))[:n]] + rng.normal(0, click_um / 0.22, (min(n, len(both)), 2))
        finding = check(points, Placement(), made.slide, seen)
        assert finding.text == ""

    @given(seed=st.integers(0, 10_000), n=st.integers(3, 60))
    @settings(max_examples=40, deadline=None, derandomize=True)
    def test_points_that_sit_on_no_nuclei_are_never_explained_away(self, seed: int, n: int) -> None:
        """Regions of interest, grids, a detector of something else: on tissue, with no contrast."""
        made, seen = painted(0)
        tissue = np.argwhere(seen.tissue)[:, ::-1]
        rng = np.random.default_rng(seed)
        points = (tissue[rng.integers(len(tissue), size=n)] + rng.uniform(0, 1, (n, 2))) * seen.overview.coarse.scale
        assert not check(points, Placement(), made.slide, seen).stops

    @pytest.mark.parametrize("n", [0, 1, 2])
    def test_too_few_points_say_nothing(self, n: int) -> None:
        made, seen = painted(1)
        assert check(np.full((n, 2), 1e7), Placement(), made.slide, seen) == Finding("unclear")

    def test_rows_without_numbers_do_not_count(self) -> None:
        made, seen = painted(1)
        x, y = made.figures[:40].T.copy()
        x[::2], y[1::4], x[3] = np.nan, np.nan, np.inf
        assert check_points(x, y, Placement(), made.slide, seen).verdict in ("fits", "unclear")

    def test_numbers_without_measure_lie_off_the_slide(self) -> None:
        made, seen = painted(1)
        points = np.array([[1e308, -1e308], [1e300, 0.0], [-1e19, 1e19], [5.0, 1e-308], [0.0, 0.0]])
        assert check(points, Placement(), made.slide, seen).verdict == "off_slide"
        assert check(points, Placement(unit="mm", frame="qupath"), made.slide, seen).verdict in ("off_slide", "unclear")

    def test_a_slide_that_reads_the_same_both_ways_is_not_accused(self) -> None:
        """Swapped on a square slide that is its own mirror image across the diagonal: nobody can tell."""
        made = paint_slide(2, size_mm=(2.0, 2.0), shape="oval")
        (down, fine), (coarse_down, coarse) = made.slide.painted
        slide = ArraySlide(
            "s.svs", [(down, mirrored(fine)), (coarse_down, mirrored(coarse))], made.slide.dimensions, 0.25
        )
        points = np.where(made.figures[:, :1] >= made.figures[:, 1:], made.figures, made.figures[:, ::-1])
        assert check(points[:60], Placement(swap_xy=True), slide, seen_of(slide)).text == ""

    def test_a_slide_without_tissue_or_too_coarse_says_nothing(self) -> None:
        white = np.full((60, 80, 3), 250, dtype=np.uint8)
        for mpp in (0.25, 8.0):
            slide = ArraySlide("white.tif", [(8, white)], (640, 480), mpp)
            points = np.random.default_rng(0).uniform(0, 480, (10, 2))
            assert check(points, Placement(), slide, seen_of(slide)).verdict in ("unclear", "fits")

    def test_the_sample_and_the_real_region(self, sample_data: Path, shared_data: Path) -> None:
        points = np.loadtxt(sample_data / "points.csv", delimiter=",", skiprows=1, usecols=(1, 2))
        with open_slide(sample_data / "sample.tiff") as slide:
            seen = seen_of(slide)
            assert check(points, Placement(), slide, seen).verdict == "fits"
            assert check(points[:, ::-1], Placement(), slide, seen).remedy == "--points-swap-xy"
        with open_slide(shared_data / "slides" / "CMU-1-Small-Region.svs") as slide:
            whole = seen_of(slide)
            contrast = NucleusContrast(slide, slide.mpp, whole.overview.detail)
            rng = np.random.default_rng(0)
            anywhere = rng.uniform(0, 1, (400, 2)) * slide.dimensions
            dark = anywhere[contrast.ranks(*anywhere.T) > 0.9]
            assert check(dark, Placement(), slide, whole).verdict == "fits"


def mirrored(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The upper right half, and its mirror image below the diagonal."""
    side = min(pixels.shape[:2])
    row, column = np.mgrid[:side, :side]
    return np.asarray(pixels[np.minimum(row, column), np.maximum(row, column)])


class TestContrast:
    def test_ranks_are_even_for_any_place_and_high_on_figures(self) -> None:
        made, seen = painted(1)
        contrast = NucleusContrast(made.slide, made.slide.mpp, None)
        assert contrast.ranks(*made.figures[:100].T).mean() > 0.9
        tissue = np.argwhere(seen.tissue)[:, ::-1]
        anywhere = tissue[np.random.default_rng(0).integers(len(tissue), size=300)] * seen.overview.coarse.scale
        assert 0.42 < contrast.ranks(*anywhere.T).mean() < 0.58

    def test_off_the_slide_is_rank_0_and_a_corner_is_ranked(self) -> None:
        made, _ = painted(1)
        width, height = made.slide.dimensions
        contrast = NucleusContrast(made.slide, made.slide.mpp, None)
        ranks = contrast.ranks(np.array([-500.0, 1e9, 2.0, width - 1.0]), np.array([50.0, 50.0, 2.0, height - 1.0]))
        assert ranks[:2].tolist() == [0.0, 0.0]
        assert np.isfinite(ranks).all()

    def test_the_detail_of_the_overview_gives_the_ranks_of_patches(self) -> None:
        made = paint_slide(5, size_mm=(1.2, 1.0), shape="full", down=8)
        slide = ArraySlide("fine.svs", made.slide.painted[:1], made.slide.dimensions, 0.25)
        detail = seen_of(slide).overview.detail
        assert detail is not None
        from_detail = NucleusContrast(slide, 0.25, detail).ranks(*made.figures[:50].T)
        from_patches = NucleusContrast(slide, 0.25, None).ranks(*made.figures[:50].T)
        assert np.allclose(from_detail, from_patches)


class TestPlacement:
    @given(
        x=st.floats(-1e5, 1e5),
        y=st.floats(-1e5, 1e5),
        unit=st.sampled_from(["px", "um", "mm"]),
        scale=st.sampled_from([0.25, 1.0, 2.0]),
        swap=st.booleans(),
        flip=st.booleans(),
        frame=st.sampled_from(["level0", "qupath"]),
    )
    @settings(max_examples=200, deadline=None)
    def test_against_one_point_worked_out_by_hand(
        self, x: float, y: float, unit: str, scale: float, swap: bool, flip: bool, frame: str
    ) -> None:
        slide = SlideFrame(9000, 7000, 0.5, Bounds(100, 200, 8000, 6000))
        placement = Placement(frame=frame, unit=unit, scale=scale, swap_xy=swap, flip_y=flip)  # type: ignore[arg-type]
        px = {"px": 1.0, "um": 2.0, "mm": 2000.0}[unit] * scale
        right, down = (y * px, x * px) if swap else (x * px, y * px)
        if flip:
            down = (6000 if frame == "qupath" else 7000) - down
        moved = (100, 200) if frame == "qupath" else (0, 0)
        got = placement.level0(np.array([x]), np.array([y]), slide)
        assert np.allclose(np.ravel(got), [right + moved[0], down + moved[1]])

    def test_every_mistake_is_another_placement_and_bounds_are_needed_for_frames(self) -> None:
        plain = SlideFrame(900, 700, 0.5, Bounds(0, 0, 900, 700))
        found = list(mistakes(Placement(), plain))
        assert len({one.placement for one in found} | {Placement()}) == len(found) + 1
        assert "frame" not in {one.name for one in found}
        cropped = replace(plain, bounds=Bounds(10, 10, 800, 600))
        assert "frame" in {one.name for one in mistakes(Placement(), cropped)}

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"points_unit": "um"}, [(400, 200)]),
            ({"points_scale": 2.0}, [(200, 100)]),
            ({"points_swap_xy": True}, [(50, 100)]),
            ({"points_flip_y": True}, [(100, 750)]),
            ({"points_unit": "mm", "points_scale": 0.001, "points_swap_xy": True}, [(200, 400)]),
        ],
    )
    def test_read_candidates_takes_them(
        self, tmp_path: Path, options: dict[str, object], expected: list[tuple[float, float]]
    ) -> None:
        slide = ArraySlide("s.svs", [(8, np.zeros((100, 125, 3), dtype=np.uint8))], (1000, 800), 0.25)
        (tmp_path / "p.csv").write_text("x,y\n100,50\n")
        table = read_candidates(tmp_path / "p.csv", slide, **options).table  # type: ignore[arg-type]
        assert list(zip(table["x"], table["y"], strict=True)) == expected

    def test_weak_detections_are_not_held_against_the_slide(self, tmp_path: Path) -> None:
        slide = ArraySlide("s.svs", [(8, np.zeros((100, 125, 3), dtype=np.uint8))], (1000, 800), 0.25)
        (tmp_path / "p.csv").write_text("x,y,score\n100,50,0.9\n200,60,0.1\n300,70,\n")
        taken: list[float] = []
        read_candidates(tmp_path / "p.csv", slide, min_score=0.5, on_points=lambda x, _y, _how: taken.extend(x))
        assert taken == [100, 300]

    def test_um_columns_read_as_px(self, tmp_path: Path) -> None:
        slide = ArraySlide("s.svs", [(8, np.zeros((100, 125, 3), dtype=np.uint8))], (1000, 800), 0.25)
        (tmp_path / "p.csv").write_text("x_um,y_um\n100,50\n")
        table = read_candidates(tmp_path / "p.csv", slide, points_unit="px").table
        assert table[["x", "y"]].to_numpy().tolist() == [[100, 50]]

    @pytest.mark.parametrize("options", [{"points_unit": "ft"}, {"points_scale": 0.0}, {"points_scale": float("nan")}])
    def test_wrong_values(self, tmp_path: Path, options: dict[str, object]) -> None:
        slide = ArraySlide("s.svs", [(8, np.zeros((100, 125, 3), dtype=np.uint8))], (1000, 800), 0.25)
        (tmp_path / "p.csv").write_text("x,y\n100,50\n")
        with pytest.raises(ConfigError, match="--points-"):
            read_candidates(tmp_path / "p.csv", slide, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Floats]:
    """A slide file and the figures on it."""
    painted = paint_slide(6, size_mm=(0.9, 0.6), down=4, n_figures=60)
    pixels = painted.slide.painted[0][1]
    path = tmp_path_factory.mktemp("slide") / "real.tiff"
    return write_pyramid_tiff(path, pixels, 1.0, levels=2), painted.figures / 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("tiny"), mpp=1.0).folder


BOUNDS = Bounds(256, 128, 896, 512)


@pytest.fixture(scope="module", params=["mrxs", "scn"])
def with_bounds(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Floats]:
    """A slide file of 1 um/px whose tissue begins at ``BOUNDS``, and the figures on it in level-0 px."""
    painted = paint_slide(6, size_mm=(0.9, 0.6), down=4, n_figures=60)
    area = painted.slide.painted[0][1][: BOUNDS.height, : BOUNDS.width]
    figures = painted.figures / 4
    inside = figures[(figures < (BOUNDS.width, BOUNDS.height)).all(axis=1)]
    path = tmp_path_factory.mktemp("bounds") / f"case.{request.param}"
    if request.param == "scn":
        place = {"offset": (BOUNDS.x, BOUNDS.y), "whole": (1400, 900)}
        write_scn(path, [area, area[::2, ::2]], mpp=1.0, **place)
    else:
        canvas = np.pad(area, ((BOUNDS.y, 0), (BOUNDS.x, 0), (0, 0)), constant_values=255)
        write_mrxs(path, [canvas, canvas[::2, ::2]], mpp=1.0, first=(BOUNDS.x // 64, BOUNDS.y // 64))
    return path, inside + np.array([BOUNDS.x, BOUNDS.y])


class TestRuns:
    """The check as a run of ``screen`` has it."""

    def written(self, path: Path, points: Floats) -> Path:
        path.write_text("\n".join(["x,y", *(f"{x:.3f},{y:.3f}" for x, y in points)]))
        return path

    def test_stops_before_anything_is_classified_and_leaves_nothing(
        self, made: tuple[Path, Floats], model: Path, tmp_path: Path
    ) -> None:
        slide, figures = made
        points = self.written(tmp_path / "p.csv", figures[:, ::-1])
        done: list[int] = []
        with pytest.raises(CandidateError, match=r"p\.csv.*--points-swap-xy") as caught:
            screen_slide(slide, points, out=tmp_path / "out", model=model, on_progress=lambda n, _: done.append(n))
        assert "\n" not in str(caught.value)
        assert done == []
        assert not (tmp_path / "out").exists()

    def test_the_command_names_the_option_and_the_option_mends(
        self, made: tuple[Path, Floats], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        slide, figures = made
        points = self.written(tmp_path / "p.csv", figures / 2)
        command = [
            "-q",
            "screen",
            str(slide),
            "--points",
            str(points),
            "--out",
            str(tmp_path / "out"),
            "--model",
            str(model),
        ]
        assert run(command) == 1
        shown = capsys.readouterr().err
        assert "pass --points-scale 2, or --force" in shown
        assert len(shown.strip().splitlines()) == 1
        assert run([*command, "--points-scale", "2"]) == 0
        table = (tmp_path / "out" / "real" / "summary.json").read_text()
        assert "points_do_not_fit" not in table

    def test_force_goes_on_with_a_warning_and_a_flag(
        self, made: tuple[Path, Floats], model: Path, tmp_path: Path
    ) -> None:
        slide, figures = made
        points = self.written(tmp_path / "p.csv", figures / 2)
        result = screen_slide(slide, points, out=tmp_path / "out", model=model, force=True)
        assert "points_do_not_fit" in result.summary["flags"]
        assert any("half as large as the slide" in text for text in result.warnings)

    def test_most_points_off_the_slide_are_explained_before_single_rows_are_refused(
        self, made: tuple[Path, Floats], model: Path, tmp_path: Path
    ) -> None:
        slide, figures = made
        points = self.written(tmp_path / "p.csv", figures * 4)
        for skip in (False, True):
            with pytest.raises(CandidateError, match=r"lie off the slide; pass --points-scale 0\.25"):
                screen_slide(slide, points, out=tmp_path / "out", model=model, skip_bad_points=skip)

    def test_a_few_points_off_the_slide_are_rows_as_before(
        self, made: tuple[Path, Floats], model: Path, tmp_path: Path
    ) -> None:
        slide, figures = made
        points = self.written(tmp_path / "p.csv", np.concatenate([[[9000.0, 5.0]], figures]))
        with pytest.raises(CandidateError, match=r"row 1: .*--skip-bad-points"):
            screen_slide(slide, points, out=tmp_path / "out", model=model)

    def test_right_points_pass_in_silence(self, made: tuple[Path, Floats], model: Path, tmp_path: Path) -> None:
        slide, figures = made
        result = screen_slide(
            slide,
            self.written(tmp_path / "p.csv", figures),
            out=tmp_path / "out",
            model=load_model(model, device="cpu"),
        )
        assert not {"points_do_not_fit", "points_not_on_nuclei"} & set(result.summary["flags"])

    def test_points_that_count_from_the_bounds_of_a_file(
        self, with_bounds: tuple[Path, Floats], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path, figures = with_bounds
        with open_slide(path) as slide:
            assert slide.bounds == BOUNDS
            assert check(figures, Placement(), slide, seen_of(slide)).verdict == "fits"
        points = self.written(tmp_path / "p.csv", figures - (BOUNDS.x, BOUNDS.y))
        command = ["-q", "screen", str(path), "--points", str(points), "--out", str(tmp_path), "--model", str(model)]
        command.append("--no-report")
        assert run(command) == 1
        shown = capsys.readouterr().err
        assert "they look like pixels of the openslide.bounds-* part, which QuPath shows" in shown
        assert "pass --points-frame qupath, or --force" in shown
        assert run([*command, "--points-frame", "qupath"]) == 0
        found = pd.read_parquet(tmp_path / "case" / "predictions.parquet")
        np.testing.assert_allclose(found[["x", "y"]], figures, atol=0.001)  # the decimals of the points file
        assert "points_do_not_fit" not in (tmp_path / "case" / "summary.json").read_text()

    def test_points_of_a_slide_with_bounds(self) -> None:
        """The run's own steps on a painted slide that states bounds."""
        made, _ = painted(1, bounds=True)
        shown = made.figures[:50] - (made.slide.bounds.x, made.slide.bounds.y)
        with tissue_meanwhile(made.slide, made.slide.frame) as tissue:
            fit = PointsFit("p.csv", made.slide, tissue.map, force=False)
            fit.take(shown[:, 0], shown[:, 1], Placement())
            with pytest.raises(CandidateError, match=r"p\.csv: .*QuPath.*pass --points-frame qupath, or --force"):
                fit.warning()


@pytest.mark.parametrize(("far", "options"), [(40_000.0, "--force --skip-bad-points"), (0.0, "--force")])
def test_what_goes_on_all_the_same_is_named(far: float, options: str) -> None:
    made, _ = painted(1, bounds=True)
    shown = made.figures[:50] - (made.slide.bounds.x, made.slide.bounds.y)
    shown[0] += far
    with tissue_meanwhile(made.slide, made.slide.frame) as tissue:
        fit = PointsFit("p.csv", made.slide, tissue.map, force=False)
        with pytest.raises(CandidateError, match=f"(or|pass) {options} to go on all the same"):
            fit.take(shown[:, 0], shown[:, 1], Placement())
            fit.warning()


def test_share_off_slide() -> None:
    frame = SlideFrame(1000, 800, 0.25, Bounds(0, 0, 1000, 800))
    x = np.array([10.0, 1020.0, 5000.0, 6000.0, np.nan])
    assert share_off_slide(x, np.full(5, 10.0), Placement(), frame) == 0.5
    assert share_off_slide(np.empty(0), np.empty(0), Placement(), frame) == 0.0
