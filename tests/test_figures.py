"""Tables, plots and page of a labelled predictions table."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from tests.labelled_predictions import RATERS, labelled_predictions
from wsiamf.errors import TrainingError
from wsiamf.training.figures.difficulty import hardness_by_votes, risk_coverage, risk_coverage_gain
from wsiamf.training.figures.labelled_rows import check_rows, parts
from wsiamf.training.figures.raters import OTHERS, OWN, by_rater, cross_fitted_cut_offs, phase_agreement
from wsiamf.training.figures.tables import Figures, measure
from wsiamf.training.figures.writing import write_figures


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return labelled_predictions(n_slides=16)


@pytest.fixture(scope="module")
def figures(table: pd.DataFrame) -> Figures:
    return measure(table)


def rows_of(found: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    for name, value in wanted.items():
        found = found[found[name] == value]
    return found


class TestTables:
    def test_pooled_and_by_domain(self, table: pd.DataFrame, figures: Figures) -> None:
        for threshold in ("balanced", "count"):
            called = table["p_atypical"] >= table[f"threshold_{threshold}"]
            row = figures.at(threshold)
            assert row["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(table["amf"], called))
            assert row["auc"] == pytest.approx(roc_auc_score(table["amf"], table["p_atypical"]))
            assert row["n_groups"] == 16
            for domain, rows in table.groupby("domain"):
                (one,) = rows_of(figures.by_domain, domain=domain, threshold_name=threshold).to_dict("records")
                assert one["balanced_accuracy"] == pytest.approx(
                    balanced_accuracy_score(rows["amf"], called[rows.index])
                )
                assert one["balanced_accuracy_low"] < one["balanced_accuracy"] < one["balanced_accuracy_high"]

    def test_folds_with_their_mean_and_deviation(self, figures: Figures) -> None:
        rows = rows_of(figures.by_fold, threshold_name="balanced").set_index("fold")
        folds = rows.loc[list("12345"), "auc"]
        assert rows.loc["mean", "auc"] == pytest.approx(folds.mean())
        assert rows.loc["sd", "auc"] == pytest.approx(folds.std(ddof=1))

    def test_one_class_only_is_null_with_a_reason(self, table: pd.DataFrame) -> None:
        strange = table[(table["domain"] == "breast") | (table["amf"] == 0)]
        found = measure(strange.assign(fold=np.where(strange["domain"] == "lung", 2, 1)))
        for rows in (found.by_domain, found.by_fold):
            name = "domain" if "domain" in rows else "fold"
            (row,) = rows_of(rows, **{name: "lung" if name == "domain" else "2"}, threshold_name="count").to_dict(
                "records"
            )
            assert math.isnan(row["auc"])
            assert math.isnan(row["balanced_accuracy"])
            assert row["status"].startswith("no AMF")
            assert 0 <= row["specificity"] <= 1
        text = json.dumps(found.to_json(), allow_nan=False)
        assert "no AMF: balanced accuracy and AUC are not estimable" in text

    def test_a_single_class_everywhere_still_makes_a_page(self, table: pd.DataFrame, tmp_path: Path) -> None:
        found = write_figures(table[table["amf"] == 0].head(60), tmp_path, "NMF only")
        assert found.at("balanced")["status"].startswith("no AMF")
        assert not (tmp_path / "roc.svg").exists()

    def test_reliability_and_confusion_count_every_row(self, table: pd.DataFrame, figures: Figures) -> None:
        assert figures.reliability["n"].sum() == len(table)
        counts = figures.confusion.drop(columns="threshold_name").sum(axis=1)
        assert (counts == len(table)).all()
        (row,) = rows_of(figures.confusion, threshold_name="count").to_dict("records")
        called = table["p_atypical"] >= 0.5
        assert row["amf_called_nmf"] == ((table["amf"] == 1) & ~called).sum()

    def test_hardness_by_number_of_votes(self, table: pd.DataFrame) -> None:
        few = table.assign(n_votes=np.where(table["fold"] == 1, 1, 3))
        few["hard"] = few["hard"].where(few["n_votes"] == 3)
        rows = hardness_by_votes(check_rows(few))
        known = few["n_votes"] == 3
        expected = roc_auc_score(few.loc[known, "hard"], few.loc[known, "p_hard"])
        for votes in ("all", "3"):
            (row,) = rows_of(rows, set="made", n_votes=votes).to_dict("records")
            assert row["hardness_auc"] == pytest.approx(expected)
        (row,) = rows_of(rows, n_votes="1").to_dict("records")
        assert row["status"] == "fewer than two votes a figure"
        assert math.isnan(row["hardness_auc"])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda table: table.drop(columns="threshold_count"), "lack the column"),
            (lambda table: table.head(0), "there are no rows"),
            (
                lambda table: table.assign(p_atypical=table["p_atypical"].where(table.index != 6)),
                "p_atypical, row 7: nan",
            ),
            (lambda table: table.assign(p_hard=1.5), "p_hard, row 1: 1.5 is not a number from 0 to 1"),
            (lambda table: table.assign(p_atypical="high"), "p_atypical, row 1: high"),
            (lambda table: table.assign(amf=0.5), "amf holds other values than 1 and 0"),
        ],
    )
    def test_bad_tables_are_one_clear_error(self, table: pd.DataFrame, change: Any, message: str) -> None:
        with pytest.raises(TrainingError, match=message):
            measure(change(table))


class TestRiskCoverage:
    def test_leaving_out_what_is_wrong_helps(self) -> None:
        table = labelled_predictions(n_slides=16)
        wrong = (table["p_atypical"] >= table["threshold_balanced"]) != (table["amf"] == 1)
        gain = rows_of(risk_coverage_gain(check_rows(table.assign(p_hard=wrong.astype(float)))), left_out_by="p_hard")
        (row,) = gain.to_dict("records")
        assert wrong.mean() < 0.2
        assert row["balanced_accuracy"] == 1
        assert row["gain"] == pytest.approx(1 - row["balanced_accuracy_of_all"])
        assert 0 < row["gain_low"] <= row["gain"] <= row["gain_high"]

    def test_at_full_coverage_nothing_is_left_out(self, table: pd.DataFrame, figures: Figures) -> None:
        full = rows_of(figures.risk_coverage, coverage=1.0)
        assert set(full["left_out_by"]) == {"p_hard", "doubt", "review"}
        assert full["balanced_accuracy"].to_numpy() == pytest.approx(figures.at("balanced")["balanced_accuracy"])

    def test_a_head_that_says_the_same_of_all_leaves_out_at_random(self, table: pd.DataFrame) -> None:
        gain = risk_coverage_gain(check_rows(table.assign(p_hard=0.2)))
        (row,) = rows_of(gain, left_out_by="p_hard").to_dict("records")
        assert abs(row["gain"]) < 0.05

    def test_without_a_hardness_head(self, table: pd.DataFrame) -> None:
        without = check_rows(table.assign(p_hard=np.nan))
        assert set(risk_coverage(without)["left_out_by"]) == {"doubt", "review"}
        (row,) = rows_of(risk_coverage_gain(without), left_out_by="p_hard").to_dict("records")
        assert row["status"] == "the model has no hardness head"


class TestRaters:
    def test_an_expert_against_the_majority_of_the_others(self, table: pd.DataFrame) -> None:
        first, *others = (table[f"vote_{rater}"] for rater in RATERS)
        agreed = others[0] == others[1]
        (row,) = rows_of(by_rater(check_rows(table)), rater=RATERS[0], judge="expert").to_dict("records")
        assert row["n"] == agreed.sum()
        assert row["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(others[0][agreed], first[agreed]))
        assert math.isnan(row["auc"])

    def test_a_head_against_its_own_expert(self, table: pd.DataFrame, figures: Figures) -> None:
        (own,) = rows_of(figures.by_rater, rater=RATERS[0], judge="head", against=OWN).to_dict("records")
        assert own["auc"] == pytest.approx(roc_auc_score(table[f"vote_{RATERS[0]}"], table[f"p_{RATERS[0]}"]))
        (others,) = rows_of(figures.by_rater, rater=RATERS[0], judge="head", against=OTHERS).to_dict("records")
        (expert,) = rows_of(figures.by_rater, rater=RATERS[0], judge="expert").to_dict("records")
        assert others["n"] == expert["n"] < own["n"]

    def test_a_head_of_noise_adds_less_than_nothing(self, table: pd.DataFrame) -> None:
        noise = np.random.default_rng(0).random(len(table))
        found = by_rater(check_rows(table.assign(**{f"p_{RATERS[2]}": noise})))
        gains = rows_of(found, judge="all heads but this").set_index("rater")["auc_gain"]
        assert gains[RATERS[2]] < 0 < min(gains[RATERS[0]], gains[RATERS[1]])

    def test_votes_with_gaps(self, table: pd.DataFrame) -> None:
        gaps = table.assign(**{f"vote_{RATERS[1]}": table[f"vote_{RATERS[1]}"].where(table["fold"] < 3)})
        found = by_rater(check_rows(gaps))
        (row,) = rows_of(found, rater=RATERS[1], judge="head", against=OWN).to_dict("records")
        assert row["n"] == (table["fold"] < 3).sum()
        silent = by_rater(check_rows(table.assign(**{f"vote_{RATERS[1]}": np.nan})))
        assert set(rows_of(silent, rater=RATERS[1], judge="head")["against"]) == {"majority"}
        assert rows_of(silent, rater=RATERS[1], judge="expert").empty

    def test_cut_offs_come_from_the_other_folds(self) -> None:
        score, truth = np.array([0.1, 0.9, 0.3, 0.7]), np.array([0.0, 1, 0, 1])
        part_N = np.array([1, 1, 2, 2])
        assert cross_fitted_cut_offs(score, truth, part_N).tolist() == [0.5, 0.5, 0.5, 0.5]
        moved = np.array([0.1, 0.9, 0.5, 0.7])
        assert cross_fitted_cut_offs(moved, truth, part_N) == pytest.approx([0.6, 0.6, 0.5, 0.5])

    def test_parts_without_folds_keep_groups_whole(self, table: pd.DataFrame) -> None:
        dealt = pd.Series(parts(table.drop(columns="fold"))).groupby(table["group"].to_numpy())
        assert (dealt.min() == dealt.max()).all()
        assert dealt.first().nunique() == 5

    def test_phases(self, table: pd.DataFrame) -> None:
        labels = np.arange(len(table)) % 8
        other = np.where(np.arange(len(table)) % 4 == 0, (labels + 1) % 8, labels)
        head = pd.DataFrame(np.eye(8)[labels], columns=[f"phase_{k}" for k in range(1, 9)])
        phased = pd.concat([table.assign(phase_label_1=labels, phase_label_2=other), head], axis=1)
        found = phase_agreement(check_rows(phased)).set_index(["one", "other"])
        assert found.loc[("rater 1", "rater 2"), "agreement"] == pytest.approx(0.75, abs=0.01)
        assert found.loc[("head", "rater 1"), "agreement"] == 1
        assert found.loc[("head", "rater 2"), "reaches_raters"]
        assert phase_agreement(check_rows(table)).empty


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures") / "out"
    write_figures(labelled_predictions(n_slides=12), folder, "Title & more", ("A <note>.",))
    return folder


class TestFiles:
    def test_all_files_are_there(self, folder: Path) -> None:
        assert {path.name for path in folder.iterdir()} == {
            *(
                "metrics.json",
                "figures.html",
                "by_fold.csv",
                "by_domain.csv",
                "by_votes.csv",
                "by_rater.csv",
                "slides.csv",
            ),
            *(
                "interval_coverage.csv",
                "roc.svg",
                "reliability.svg",
                "confusion.svg",
                "risk_coverage.svg",
                "slides.svg",
            ),
            "interval_coverage.svg",
        }

    def test_same_input_same_bytes(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import matplotlib as mpl

        monkeypatch.setitem(mpl.rcParams, "font.size", 20)
        write_figures(labelled_predictions(n_slides=12), tmp_path, "Title & more", ("A <note>.",))
        for path in folder.iterdir():
            assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name

    def test_the_page_is_self_contained(self, folder: Path) -> None:
        page = (folder / "figures.html").read_text("utf-8")
        assert "Research use only" in page
        assert "Title &amp; more" in page
        assert "A &lt;note&gt;." in page
        assert page.count("<svg") == 6
        assert "<?xml" not in page
        assert not re.search(r"(src|href)=\"(?!#)(?!https?://www\.w3\.org)", page.replace("xlink:href", "xlink"))
        assert "<script" not in page
        assert "@import" not in page

    def test_plots_are_svg_without_dates(self, folder: Path) -> None:
        for path in folder.glob("*.svg"):
            assert ET.fromstring(path.read_text("utf-8")).tag.endswith("svg")  # noqa: S314 - our own file
            assert "<dc:date>" not in path.read_text("utf-8")

    def test_metrics_hold_every_table(self, folder: Path) -> None:
        metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
        assert metrics["schema"] == "wsiamf.figures/1"
        assert metrics["n_slides"] == 12
        assert {"pooled", "by_fold", "slide_agreement", "interval_verdicts", "risk_coverage_gain"} <= set(metrics)
