"""``wsiamf review`` at the command line: worklist, apply, export and import on results of two slides."""

from __future__ import annotations

import json
import shlex
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.made_review import decided, made_out
from tests.qupath_checker import check_qupath_geojson
from wsiamf.cli.main import run
from wsiamf.config import SetConfig
from wsiamf.errors import TrainingError
from wsiamf.export.results import find_results
from wsiamf.files import sha256_file
from wsiamf.predictions import read_predictions
from wsiamf.review.answers import Answer
from wsiamf.review.decisions import DecisionStore
from wsiamf.review.figures import load_figures
from wsiamf.review.loading import load_review
from wsiamf.review.worklist_files import read_worklist, redraw_command
from wsiamf.training.labels import read_labelled_set
from wsiamf.training.readers.label_table import LabelTable
from wsiamf.training.recalibration.representative import check_equal_chances, picked_as_hard

A, N, X, U = Answer.AMF, Answer.NMF, Answer.NOT_MITOSIS, Answer.CANNOT_TELL
ANSWERS = [A, N, N, X, N, U]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, sample_data: Path) -> Path:
    """Results of two slides, nobody has looked at."""
    return made_out(tmp_path_factory.mktemp("fresh") / "out", sample_data)


@pytest.fixture
def out(fresh: Path, tmp_path: Path) -> Path:
    """A copy of them."""
    return Path(shutil.copytree(fresh, tmp_path / "out"))


def answer_worklist(out: Path, reader: str, *, shift: int = 0, path: Path | None = None) -> None:
    """Answer every row of the worklist, and add a figure."""
    figures = load_figures(find_results(out)).set_index("uuid", drop=False)
    rows = [figures.loc[uuid] for uuid in read_worklist(out).table["uuid"]]
    given = [decided(row, reader, ANSWERS[(k + shift) % 6], blinded=k % 2 == 0) for k, row in enumerate(rows)]
    given.append(decided(rows[0], reader, A, kind="added", x_um=500.0, y_um=20.0, candidate_uuid=None))
    with DecisionStore(path or out / "review" / "decisions.sqlite") as store:
        store.extend(given)


def originals(out: Path) -> dict[str, str]:
    """Hashes of what is not the review's."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and "review" not in path.relative_to(out).parts]
    return {str(path.relative_to(out)): sha256_file(path) for path in files}


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def test_worklist_is_written_extended_and_never_quietly_replaced(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["review", "worklist", str(out), "--review-budget", "20", "--seed", "4"]) == 0
    assert capsys.readouterr().out == f"{out / 'review' / 'worklist.csv'}\n"
    first = read_worklist(out)
    assert run(["review", "worklist", str(out), "--review-budget", "30"]) == 0  # seed and share as they were
    longer = read_worklist(out)
    assert (longer.seed, len(longer.table)) == (4, 30)
    pd.testing.assert_series_equal(longer.table["uuid"].iloc[:20], first.table["uuid"])
    before = (out / "review" / "worklist.csv").read_bytes()
    for other in (["--review-budget", "10"], ["--review-budget", "40", "--seed", "5"]):
        assert run(["review", "worklist", str(out), *other]) == 1
        assert "--overwrite" in capsys.readouterr().err
        assert (out / "review" / "worklist.csv").read_bytes() == before
    assert run(["review", "worklist", str(out), "--review-budget", "10", "--overwrite"]) == 0
    assert read_worklist(out).seed == 4
    with (out / "review" / "worklist.csv").open("a") as stream:
        stream.write("\n")
    assert run(["review", "worklist", str(out), "--review-budget", "20"]) == 1
    assert "was changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", -1), ("seed", "x"), ("seed", float("inf")), ("certain_share", 5), ("certain_share", None)],
)
def test_a_damaged_record_of_a_worklist_is_drawn_over(
    out: Path, name: str, value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["review", "worklist", str(out), "--review-budget", "20"]) == 0
    drawn = (out / "review" / "worklist.csv").read_bytes()
    record = out / "review" / "worklist.json"
    record.write_text(json.dumps(read(record) | {name: value}))
    assert run(["review", "worklist", str(out), "--review-budget", "30"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert run(["review", "worklist", str(out), "--review-budget", "20", "--overwrite"]) == 0
    assert (out / "review" / "worklist.csv").read_bytes() == drawn


def test_the_command_that_draws_anew_draws_by_the_same_rules(out: Path) -> None:
    options = ["--review-budget", "20", "--seed", "4", "--certain-share", "0.123456789"]
    assert run(["review", "worklist", str(out), *options]) == 0
    first = read_worklist(out)
    program, *command = shlex.split(redraw_command(first, out))
    (out / "review" / "worklist.json").unlink()  # so that the command alone says what they were
    assert (program, run(command)) == ("wsiamf", 0)
    again = read_worklist(out)
    assert (again.seed, again.certain_share) == (4, 0.123456789)
    pd.testing.assert_frame_equal(again.table, first.table)


def test_apply_writes_beside_the_originals_and_counts_what_was_answered(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["review", "worklist", str(out), "--review-budget", "50", "--certain-share", "0.2"]) == 0
    answer_worklist(out, "ann")
    answer_worklist(out, "bob", shift=1)
    before = originals(out)
    assert run(["review", "apply", str(out), "--reader", "ann"]) == 0
    reviewed = out / "review" / "reviewed"
    assert capsys.readouterr().out.splitlines()[-1] == str(reviewed)
    assert originals(out) == before
    summary = read(reviewed / "reviewed_summary.json")
    assert summary["schema"] == "wsiamf.review/1"
    given = Counter(ANSWERS[row % 6] for row in range(50))
    figures = load_figures(find_results(out))
    left = Counter(figures.loc[~figures["uuid"].isin(read_worklist(out).table["uuid"]), "label"])
    whole = summary["counts"]["all"]
    assert (whole["n_candidates"], whole["n_reviewed"], whole["n_adjudicate"]) == (60, 50, 0)
    assert (whole["n_unresolved"], whole["n_non_mitotic"]) == (given[U], given[X])
    assert whole["with_review"]["n_amf"] == given[A] + left["AMF"]
    assert whole["with_review"]["n_nmf"] == given[N] + left["NMF"]
    assert whole["without_review"]["n_amf"] == (figures["label"] == "AMF").sum()
    assert (whole["added"]["n"], whole["added"]["n_amf"]) == (1, 1)
    assert summary["warnings"] == ["no case is given for 1 of 2 slides: each counts as a case of its own"]
    assert summary["estimates"]["n_rows_used"] == 50
    assert summary["readers"] == {"ann": {"n_answers": 51, "n_blinded": 25}}
    assert {path.name for path in reviewed.iterdir()} == {
        *("sample", "gone", "reviewed_summary.json", "agreement.json"),
        *("adjudication.csv", "unattached.csv", "answers.csv"),
    }
    for slide in ("sample", "gone"):
        own = read(reviewed / slide / "reviewed_summary.json")
        assert own["counts"]["with_review"] == summary["counts"]["slides"][slide]["with_review"]
        table = read_predictions(reviewed / slide / "reviewed_predictions.parquet")
        original = read_predictions(out / slide)
        pd.testing.assert_frame_equal(table[original.columns], original)
        assert list(table.columns[-4:]) == ["final_label", "n_readers", "adjudicate", "reviewed"]
        labels = table["final_label"].value_counts()
        assert labels.get("AMF", 0) == own["counts"]["with_review"]["n_amf"]
        csv = pd.read_csv(reviewed / slide / "reviewed_predictions.csv")
        assert csv["final_label"].fillna("").tolist() == table["final_label"].fillna("").tolist()
        assert check_qupath_geojson(reviewed / slide / "reviewed_detections.geojson") == []
    answers = pd.read_csv(reviewed / "answers.csv")
    assert len(answers) == 51
    drawn = answers[answers["stratum"] == "random"]
    assert len(set(drawn["inclusion_probability"])) == 1


def test_an_adjudicator_may_be_named_before_she_has_answered(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only_sample(out)
    assert run(["review", "worklist", str(out), "--review-budget", "20"]) == 0
    answer_worklist(out, "ann")
    assert run(["review", "apply", str(out), "--adjudicator", "cara"]) == 0
    told = "cara, who adjudicates, has not answered yet; there are answers of ann\n"
    assert capsys.readouterr().err.count(told) == 1
    export = ["review", "export", str(out), "--format", "manifest", "--to", str(tmp_path / "labels")]
    assert run([*export, "--adjudicator", "cara"]) == 0
    assert told in capsys.readouterr().err
    answer_worklist(out, "cara")
    assert run(["review", "apply", str(out), "--adjudicator", "cara"]) == 0
    assert "cara" not in capsys.readouterr().err
    assert run(["review", "apply", str(out), "--reader", "nobody"]) == 1
    assert "nobody" in capsys.readouterr().err


def test_a_slide_with_the_name_of_an_output_is_refused_and_renaming_it_helps(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["review", "worklist", str(out), "--review-budget", "20"]) == 0
    answer_worklist(out, "ann")
    (out / "gone").rename(out / "answers.csv")
    assert run(["review", "apply", str(out)]) == 1
    assert "rename the folder" in capsys.readouterr().err
    (out / "answers.csv").rename(out / "another")
    assert run(["review", "apply", str(out)]) == 0
    assert read(out / "review" / "reviewed" / "reviewed_summary.json")["n_unattached"] == 0


def test_apply_again_replaces_its_own_folder_and_no_other(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["review", "worklist", str(out), "--review-budget", "30"])
    assert run(["review", "apply", str(out)]) == 1
    assert "nobody has answered yet" in capsys.readouterr().err
    answer_worklist(out, "ann")
    answer_worklist(out, "bob", shift=1)
    assert run(["review", "apply", str(out)]) == 0
    reviewed = out / "review" / "reviewed"
    waiting = pd.read_csv(reviewed / "adjudication.csv")
    assert len(waiting) == read(reviewed / "reviewed_summary.json")["counts"]["all"]["n_adjudicate"] > 10
    answer_worklist(out, "judge", shift=2)
    assert run(["review", "apply", str(out), "--adjudicator", "judge"]) == 0
    assert pd.read_csv(reviewed / "adjudication.csv").empty
    assert not list((out / "review").glob(".wsiamf*"))
    assert run(["review", "apply", str(out), "--reader", "nobody"]) == 1
    assert "ann, bob, judge" in capsys.readouterr().err
    shutil.rmtree(reviewed)
    reviewed.mkdir()
    (reviewed / "mine.txt").write_text("keep")
    assert run(["review", "apply", str(out)]) == 1
    assert (reviewed / "mine.txt").read_text() == "keep"


def test_readers_who_worked_apart_are_merged(out: Path, tmp_path: Path) -> None:
    run(["review", "worklist", str(out), "--review-budget", "30"])
    answer_worklist(out, "ann", path=tmp_path / "a.sqlite")
    answer_worklist(out, "bob", path=tmp_path / "b.sqlite")
    files = ["--decisions", str(tmp_path / "a.sqlite"), "--decisions", str(tmp_path / "b.sqlite")]
    assert run(["review", "apply", str(out), *files]) == 0
    assert set(read(out / "review" / "reviewed" / "reviewed_summary.json")["readers"]) == {"ann", "bob"}
    (pair,) = [one for one in read(out / "review" / "reviewed" / "agreement.json")["pairs"] if one["other"] == "bob"]
    assert pair["certain_cases"]["agreement"] == 1.0


def test_the_order_of_one_file_counts_whatever_the_clock_said(out: Path) -> None:
    figure = load_figures(find_results(out)).iloc[0]
    with DecisionStore(out / "review" / "decisions.sqlite") as store:
        store.append(decided(figure, "ann", A, time="2026-05-01T00:00:00.000000+00:00"))
        store.append(decided(figure, "ann", N, time="2026-04-01T00:00:00.000000+00:00"))
        live = store.current()
    assert [one.answer for one in live] == [N]
    assert load_review(out).decisions == live


def test_answers_to_what_is_no_longer_there_are_listed(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = load_figures(find_results(out))
    with DecisionStore(out / "review" / "decisions.sqlite") as store:
        store.append(decided(figures.iloc[0], "ann", A))
        store.append(decided(figures.iloc[0], "ann", N, x_um=1.0, y_um=1.0))
        store.append(decided(figures.iloc[0], "ann", N, fingerprint="another slide"))
    assert run(["review", "apply", str(out)]) == 0
    assert "2 answers are about no figure" in capsys.readouterr().err
    unattached = pd.read_csv(out / "review" / "reviewed" / "unattached.csv")
    assert unattached["reason"].tolist() == ["no figure within 2 um", "its slide is not among the results"]


def test_a_mistyped_command_is_not_taken_for_a_folder(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["review", "aply", str(out)]) == 2
    assert "aply: no such command or folder; did you mean apply?" in capsys.readouterr().err


def test_a_slides_own_folder_is_refused(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["worklist", str(out / "sample"), "--review-budget", "5"], ["apply", str(out / "sample")]):
        assert run(["review", *command]) == 1
        assert "the folder that it lies in" in capsys.readouterr().err
    assert not (out / "sample" / "review").exists()


def test_a_list_too_short_for_estimates_says_so(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["review", "worklist", str(out), "--review-budget", "30"]) == 0
    said = capsys.readouterr().err
    assert "estimates need answers to 20" in said
    assert run(["review", "worklist", str(out), "--review-budget", "30", "--certain-share", "0.2", "--overwrite"]) == 0
    assert "estimates need" not in capsys.readouterr().err


def only_sample(out: Path) -> Path:
    shutil.rmtree(out / "gone")
    return out


def test_labels_are_read_back_by_training_and_calibration(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only_sample(out)
    run(["review", "worklist", str(out), "--review-budget", "28", "--certain-share", "0.2"])
    answer_worklist(out, "ann")
    answer_worklist(out, "bob b.", shift=6)
    target = tmp_path / "labels"
    assert run(["review", "export", str(out), "--format", "manifest", "--to", str(target)]) == 0
    crops = read_labelled_set(SetConfig(kind="manifest", path=str(target / "labels.csv"), use="test"), Path())
    table = pd.read_csv(target / "labels.csv")
    assert crops.raters == ("labels/ann", "labels/bob b.")
    assert crops.table["amf"].tolist() == (table["label"] == "AMF").astype(float).tolist()
    assert crops.table["case"].tolist() == ["animal 1"] * len(table)
    assert crops.table["weight"].mean() == pytest.approx(1.0, abs=1e-5)
    random, certain = (table[table["stratum"] == name] for name in ("random", "certain"))
    ratio = random["weight"].mean() / certain["weight"].mean()
    assert ratio == pytest.approx(1 / random["inclusion_probability"].iloc[0], rel=1e-4)
    assert (crops.crops_NSS3.shape[1:], crops.crops_NSS3.std() > 5) == ((128, 128, 3), True)
    exported = LabelTable.read(target / "labels.csv", ["file"])
    assert picked_as_hard(exported) == {}
    with pytest.raises(TrainingError, match="--random-only"):
        check_equal_chances(exported)
    added = table[table["kind"] == "added"]
    assert len(added) == 1
    assert added["inclusion_probability"].isna().all()

    options = ["--format", "midog25", "--to", str(tmp_path / "midog"), "--random-only"]
    assert run(["review", "export", str(out), *options]) == 0
    midog = read_labelled_set(
        SetConfig(kind="midog25", path=str(tmp_path / "midog" / "labels.csv"), use="test"), Path()
    )
    rows = pd.read_csv(tmp_path / "midog" / "labels.csv")
    assert 0 < len(midog) < len(table)
    assert len(set(rows["inclusion_probability"])) == 1
    assert rows["weight"].tolist() == [1.0] * len(rows)

    check_equal_chances(LabelTable.read(tmp_path / "midog" / "labels.csv", ["filename"]))

    assert run(["review", "export", str(out), *options]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert run(["review", "export", str(out), *options, "--overwrite"]) == 0


def test_a_slide_that_is_gone_is_named_and_nothing_is_left(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["review", "worklist", str(out), "--review-budget", "30"])
    answer_worklist(out, "ann")
    assert run(["review", "export", str(out), "--format", "manifest", "--to", str(tmp_path / "labels")]) == 1
    assert "--slides" in capsys.readouterr().err
    assert not (tmp_path / "labels").exists()


def edit(path: Path, target: Path, change: Callable[[list[Any]], None]) -> Path:
    """A GeoJSON file as QuPath would write it after an edit."""
    features = read(path)["features"]
    change(features)
    target.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return target


def classify(feature: Any, name: str) -> None:
    feature["properties"]["classification"] = {"name": name, "color": [1, 2, 3]}


def current(out: Path) -> list[Any]:
    with DecisionStore(out / "review" / "decisions.sqlite") as store:
        return store.current()


def test_edits_in_qupath_become_answers(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    detections = out / "sample" / "detections.geojson"
    table = read_predictions(out / "sample")
    other = {"AMF": "NMF", "NMF": "AMF"}

    def change(features: list[Any]) -> None:
        classify(features[0], other[features[0]["properties"]["classification"]["name"]])
        classify(features[1], "Ignore*")
        classify(features[2], "Stroma")
        del features[3]
        features[4]["id"] = "00000000-0000-4000-8000-000000000000"  # QuPath made a copy of it
        classify(features[4], "non-mitotic")
        point = {"type": "Point", "coordinates": [2000.0, 80.0]}
        figure = {"type": "Feature", "geometry": point, "properties": {"classification": "Atypical"}}
        region = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]}
        tumour = {"type": "Feature", "geometry": region, "properties": {"classification": "Tumor"}}
        features.append({**tumour, "children": [figure]})  # as older versions of QuPath call it

    edited = edit(detections, tmp_path / "edited.geojson", change)
    command = ["review", "import", str(out), str(edited), "--reader", "ann"]
    assert run(command) == 0
    found = {one.candidate_uuid: one for one in current(out)}
    uuids = table["uuid"].tolist()
    assert set(found) == {uuids[0], uuids[1], uuids[5], None}
    assert found[uuids[0]].answer == other[table["label"].iloc[0]]
    assert [found[uuids[row]].answer for row in (1, 5)] == [X, X]
    added = found[None]
    assert (added.kind, added.answer, added.x_um, added.y_um) == ("added", A, 500.0, 20.0)
    assert {one.source for one in found.values()} == {"qupath"}
    assert run(command) == 0
    assert "0 new answers" in capsys.readouterr().err
    assert run([*command, "--deletions", "non-mitotic"]) == 0
    assert {one.candidate_uuid for one in current(out)} == {*found, uuids[3]}


def test_hard_cases_and_reviewed_files_come_back_too(out: Path, tmp_path: Path) -> None:
    table = read_predictions(out / "sample").set_index("candidate_id", drop=False)

    def confirm(features: list[Any]) -> None:
        row = table.loc[features[0]["properties"]["metadata"]["candidate_id"]]
        classify(features[0], row["label"])  # the same as the model's: an answer all the same

    edited = edit(out / "sample" / "review.geojson", tmp_path / "hard.geojson", confirm)
    assert run(["review", "import", str(out), str(edited), "--reader", "ann"]) == 0
    (one,) = current(out)
    row = table[table["uuid"] == one.candidate_uuid].iloc[0]
    assert (str(one.answer), one.x_um, one.y_um) == (row["label"], row["x_um"], row["y_um"])

    assert run(["review", "apply", str(out)]) == 0
    again = out / "review" / "reviewed" / "sample" / "reviewed_detections.geojson"
    assert run(["review", "import", str(out), str(again), "--reader", "bob"]) == 0
    assert len(current(out)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable as GeoJSON"),
        ('{"type": "x"}', "no GeoJSON object"),
        ('[{"type": "Feature", "geometry": {"type": "Point", "coordinates": []}}]', "object 1"),
        ('{"type": "FeatureCollection", "features": []}', "--slide"),
    ],
)
def test_files_that_cannot_be_used_keep_nothing(
    out: Path, tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.geojson").write_text(text)
    assert run(["review", "import", str(out), str(tmp_path / "bad.geojson"), "--reader", "ann"]) == 1
    assert message in capsys.readouterr().err
    assert not (out / "review").exists()


@pytest.mark.parametrize("named", [None, "gone"])
def test_edits_of_another_slide_are_refused(
    out: Path, tmp_path: Path, named: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(features: list[Any]) -> None:
        for feature in features:
            classify(feature, "non-mitotic")

    edited = edit(out / "sample" / "detections.geojson", tmp_path / "edited.geojson", change)
    if named is None:  # the only slide, whose candidate ids are the same row numbers
        shutil.rmtree(out / "sample")
    command = ["review", "import", str(out), str(edited), "--reader", "ann"]
    assert run([*command, "--slide", named] if named else command) == 1
    said = capsys.readouterr().err
    assert ("give --slide sample" if named else "of its 30 figures 0 are among those of slide gone") in said
    assert not (out / "review").exists()


def test_an_object_with_a_figures_name_is_that_figure_in_its_box_alone(out: Path, tmp_path: Path) -> None:
    table = read_predictions(out / "sample")
    far, near = table.iloc[0], table.iloc[1]

    def change(features: list[Any]) -> None:
        for copied, place in ((features[0], 700.0), (features[1], near["x_um"] + 5.0)):
            y_um = 20.0 if copied is features[0] else float(near["y_um"])
            copied["id"] = f"00000000-0000-4000-8000-{int(place):012d}"
            copied["geometry"] = {"type": "Point", "coordinates": [float(place) / 0.25, y_um / 0.25]}
            classify(copied, "non-mitotic" if copied is features[1] else "AMF")

    edited = edit(out / "sample" / "detections.geojson", tmp_path / "edited.geojson", change)
    assert run(["review", "import", str(out), str(edited), "--reader", "ann"]) == 0
    found = {one.candidate_uuid: one for one in current(out)}
    assert far["uuid"] not in found
    assert (found[None].kind, found[None].x_um, found[None].y_um) == ("added", 700.0, 20.0)
    assert (found[near["uuid"]].answer, found[near["uuid"]].x_um) == (X, near["x_um"])


def test_the_same_answer_to_a_close_neighbour_is_an_answer_of_its_own(out: Path, tmp_path: Path) -> None:
    table = read_predictions(out / "sample")
    first, second = table.iloc[0], table.iloc[1]
    figure = load_figures(find_results(out)).set_index("uuid", drop=False).loc[second["uuid"]]
    with DecisionStore(out / "review" / "decisions.sqlite") as store:
        store.append(decided(figure, "ann", X, x_um=second["x_um"] + 1.5, candidate_uuid=first["uuid"]))
    edited = edit(
        out / "sample" / "detections.geojson", tmp_path / "edited.geojson", lambda some: classify(some[1], "Ignore*")
    )
    assert run(["review", "import", str(out), str(edited), "--reader", "ann"]) == 0
    assert {one.candidate_uuid for one in current(out)} == {first["uuid"], second["uuid"]}


def test_one_figure_with_two_classes_is_refused(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hard = read(out / "sample" / "review.geojson")["features"][0]
    classify(hard, "non-mitotic")

    def both(features: list[Any]) -> None:
        (same,) = [
            one for one in features if one["properties"]["name"] == hard["properties"]["metadata"]["candidate_id"]
        ]
        classify(same, "AMF" if same["properties"]["classification"]["name"] == "NMF" else "NMF")
        features.append(hard)

    edited = edit(out / "sample" / "detections.geojson", tmp_path / "both.geojson", both)
    assert run(["review", "import", str(out), str(edited), "--reader", "ann"]) == 1
    assert "keep one" in capsys.readouterr().err
