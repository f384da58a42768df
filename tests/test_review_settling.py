"""From answers to figures, labels and counts."""

from __future__ import annotations

import numpy as np
import pytest

from tests.made_review import all_decided, decided, made_figures
from wsiamf.review.answers import Answer
from wsiamf.review.attaching import attach
from wsiamf.review.counting import count
from wsiamf.review.settling import Settled, settle, verdict
from wsiamf.review.standing import standing

A, N, X, U = Answer.AMF, Answer.NMF, Answer.NOT_MITOSIS, Answer.CANNOT_TELL
FIGURES = made_figures(6, 2)
FIRST = FIGURES.iloc[0]


def test_a_decision_goes_to_the_nearest_figure_within_two_um() -> None:
    rerun = FIGURES.assign(x_um=FIGURES["x_um"] + 1.2, uuid=[f"new-{row}" for row in range(6)])
    attached = attach(rerun, [decided(FIRST, "ann", A), decided(FIRST, "ann", N, x_um=4.0)])
    assert [len(attached.of_figure.get(row, [])) for row in range(6)] == [1, 0, 0, 0, 0, 0]
    (left,) = attached.unattached
    assert left.nearest_um == pytest.approx(2.8)
    assert "no figure within 2 um" in left.reason


def test_the_figure_that_was_shown_goes_before_a_nearer_one() -> None:
    close = FIGURES.assign(x_um=[0.0, 50.0, 1.5, 150.0, 250.0, 350.0])
    attached = attach(close, [decided(FIRST, "ann", A, x_um=1.0)])
    assert list(attached.of_figure) == [0]
    attached = attach(close, [decided(FIRST, "ann", A, x_um=1.0, candidate_uuid="none")])
    assert list(attached.of_figure) == [2]


def test_answers_to_a_candidate_that_a_rerun_moved_are_about_one_figure_and_the_later_counts() -> None:
    moved = FIGURES.assign(x_um=FIGURES["x_um"] + 1.0, uuid=[f"new-{row}" for row in range(6)])
    answers = standing([decided(FIRST, "ann", A), decided(moved.iloc[0], "ann", N)])
    assert len(answers) == 2
    assert settle(moved, answers).table["final_label"].iloc[0] == "NMF"


def test_an_answer_to_this_very_figure_goes_before_a_later_one_to_a_neighbour_that_is_gone() -> None:
    close = FIGURES.assign(x_um=[0.0, 50.0, 1.5, 150.0, 250.0, 350.0])
    answers = standing([decided(FIRST, "ann", A), decided(close.iloc[2], "ann", N), decided(close.iloc[2], "bob", N)])
    settled = settle(close.drop(index=2).reset_index(drop=True), answers)
    assert settled.table["answers"].iloc[0] == "ann=AMF; bob=NMF"
    assert settled.unattached == []


def test_a_slide_is_known_by_its_content_when_its_folder_is_renamed() -> None:
    assert list(attach(FIGURES, [decided(FIRST, "ann", A, slide_id="old name")]).of_figure) == [0]
    (left,) = attach(FIGURES, [decided(FIRST, "ann", A, fingerprint="another")]).unattached
    assert (left.reason, left.nearest_um) == ("its slide is not among the results", None)


def test_an_answer_on_a_slide_that_is_empty_now_says_so() -> None:
    others = FIGURES[FIGURES["slide_id"] != "s0"].reset_index(drop=True)
    (left,) = attach(others, [decided(FIRST, "ann", A)], empty_slides=[("s0", "mark-s0")]).unattached
    assert (left.reason, left.nearest_um) == ("its slide has no figure now", None)
    (left,) = attach(others, [decided(FIRST, "ann", A)]).unattached
    assert left.reason == "its slide is not among the results"


def test_additions_make_figures_of_their_own_and_join_within_seven_and_a_half_um() -> None:
    added = [
        decided(FIRST, reader, A, kind="added", x_um=x) for reader, x in (("ann", 50.0), ("bob", 57.0), ("ann", 64))
    ]
    attached = attach(FIGURES, added)
    assert attached.added["x_um"].tolist() == [50.0, 64.0]
    assert [len(some) for some in attached.of_added] == [2, 1]
    assert attached.added["uuid"].nunique() == 2
    later = attach(FIGURES, [decided(FIRST, "ann", A, kind="added", x_um=1.0)])
    assert list(later.of_figure) == [0]
    near = attach(FIGURES, [decided(FIRST, "ann", A, kind="added", x_um=5.0)]).added
    assert near["near_um"].tolist() == [5.0]
    empty = attach(FIGURES, [decided(FIRST, "ann", A, kind="added", fingerprint="e")], empty_slides=[("s0", "e")])
    assert empty.added["slide_id"].tolist() == ["s0"]


@pytest.mark.parametrize(
    ("answers", "label", "adjudicate"),
    [
        ({"a": A}, "AMF", False),
        ({"a": U}, None, False),
        ({"a": A, "b": N}, None, True),
        ({"a": A, "b": U}, None, True),
        ({"a": A, "b": A, "c": U}, "AMF", False),
        ({"a": A, "b": N, "c": X}, None, True),
        ({"a": U, "b": U, "c": X}, None, False),
        ({"a": X, "b": X, "c": A}, "non-mitotic", False),
        ({"a": A, "b": N, "judge": X}, "non-mitotic", False),
        ({"a": A, "b": N, "judge": U}, None, False),
        ({"a": A, "b": A, "judge": X}, "AMF", False),
        ({"judge": N}, "NMF", False),
    ],
)
def test_a_majority_decides_else_the_adjudicator(
    answers: dict[str, Answer], label: str | None, adjudicate: bool
) -> None:
    ballot = {reader: decided(FIRST, reader, answer) for reader, answer in answers.items()}
    found = verdict(ballot, "judge")
    assert (found.label, found.adjudicate) == (label, adjudicate)


def settled_example() -> Settled:
    answers = [*all_decided(FIGURES.head(4), "ann", [A, N, X, U]), decided(FIGURES.iloc[1], "bob", A)]
    return settle(FIGURES, [*answers, decided(FIRST, "ann", N, kind="added", x_um=40.0)])


def test_the_table_says_where_each_label_comes_from() -> None:
    table = settled_example().table
    assert table["kind"].tolist() == ["figure"] * 6 + ["added"]
    labels = [label if isinstance(label, str) else None for label in table["final_label"]]
    assert labels == ["AMF", None, "non-mitotic", None, *FIGURES["label"].tolist()[4:], "NMF"]
    assert table["n_readers"].tolist() == [1, 2, 1, 1, 0, 0, 1]
    assert table["adjudicate"].tolist() == [False, True, *[False] * 5]
    assert table["source"].tolist() == ["review"] * 4 + ["model"] * 2 + ["review"]
    assert table["answers"].iloc[1] == "ann=NMF; bob=AMF"


def test_counts_add_up() -> None:
    counts = count(settled_example())
    whole, slides = counts["all"], counts["slides"]
    n_model = int((FIGURES["label"].iloc[4:] == "AMF").sum())
    assert whole["without_review"]["n"] == 6
    assert (whole["with_review"]["n"], whole["with_review"]["n_amf"]) == (3, 1 + n_model)
    assert (whole["n_unresolved"], whole["n_adjudicate"], whole["n_non_mitotic"], whole["n_reviewed"]) == (2, 1, 1, 4)
    assert whole["bounds"]["all_amf"]["n_amf"] - whole["bounds"]["all_nmf"]["n_amf"] == 2
    assert (whole["added"]["n"], whole["with_review_and_added"]["n"]) == (1, 4)
    for name in ("without_review", "with_review", "added", "with_review_and_added"):
        assert sum(slide[name]["n"] for slide in slides.values()) == whole[name]["n"]


def test_an_empty_slide_is_counted_and_has_no_fraction() -> None:
    counts = count(settle(FIGURES.head(0), [], empty_slides=[("blank", "mark")]))
    blank = counts["slides"]["blank"]["with_review"]
    assert (blank["n"], blank["amf_fraction"]) == (0, None)
    assert blank["amf_fraction_status"].startswith("not estimable")


def test_only_the_readers_asked_for_count() -> None:
    answers = [decided(FIRST, "ann", A), decided(FIRST, "bob", N)]
    assert settle(FIGURES, answers, readers={"bob"}).table["final_label"].iloc[0] == "NMF"
    assert settle(FIGURES, answers, readers={"bob"}, adjudicator="ann").table["n_readers"].iloc[0] == 2


def test_of_many_figures_those_that_were_answered_are_reviewed() -> None:
    figures = made_figures(20_000, 2)
    picked = np.arange(0, 20_000, 500)
    table = settle(figures, all_decided(figures.iloc[picked], "ann", [X] * len(picked))).table
    assert np.flatnonzero(table["reviewed"].to_numpy(dtype=bool)).tolist() == picked.tolist()
