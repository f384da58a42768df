"""Agreement of the model with people, against fourfold tables worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from wsiamf.summary import agreement_fields


def fields(model: str, people: str, votes: dict[str, str] | None = None, **columns: Any) -> Any:
    """Labels as letters: A, N, or anything else for none."""
    words = {"A": "AMF", "N": "NMF", "m": "mitotic figure"}
    table = pd.DataFrame(
        {
            "label": [words.get(c) for c in model],
            "source_label": [words.get(c) for c in people],
            "status": "ok",
            **columns,
        }
    )
    given = {name: tuple(words.get(c) for c in letters) for name, letters in (votes or {}).items()}
    return agreement_fields(table, columns.get("by_person", np.ones(len(table), dtype=bool)), given)


def test_agreement_and_kappa_by_hand() -> None:
    # 4 AMF by both, 1 by the model alone, 2 by people alone, 3 NMF by both: 0.7; by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5
    found = fields("AAAAANNNNN", "AAAANAANNN")["label_agreement"]
    assert (found["n"], found["agreement"], found["kappa"]) == (10, 0.7, 0.4)
    assert found["raters"] == {}


def test_rows_that_do_not_count_and_other_labels_are_left_out() -> None:
    status = ["ok", "bad_point", "ok", "ok"]
    found = fields("A-AN", "ANmN", status=status)["label_agreement"]
    assert (found["n"], found["agreement"], found["kappa"]) == (2, 1.0, 1.0)


def test_a_detectors_labels_are_nobodys() -> None:
    by_person = np.zeros(2, dtype=bool)
    found = fields("AN", "AN", by_person=by_person)
    assert found == {
        "label_agreement": None,
        "label_agreement_status": "the points file has no AMF or NMF labels of persons",
    }


def test_raters_by_themselves_and_their_majority() -> None:
    votes = {"Ann": "AANN", "Bob": "AN-N", "Cy": "ANN-"}
    found = fields("AAAN", "----", votes)["label_agreement"]
    assert {name: (one["n"], one["agreement"]) for name, one in found["raters"].items()} == {
        "Ann": (4, 0.75),
        "Bob": (3, 0.666667),
        "Cy": (3, 0.333333),
    }
    assert (found["n"], found["agreement"]) == (4, 0.5)  # the majority: A, N, N, N


def test_a_tie_is_no_label_and_the_files_label_goes_first() -> None:
    found = fields("AA", "N-", {"Ann": "AA", "Bob": "AN"})["label_agreement"]
    assert (found["n"], found["agreement"]) == (1, 0.0)


@pytest.mark.parametrize(("model", "people"), [("AAA", "AAA"), ("NN", "NN")])
def test_one_class_alone_has_no_kappa(model: str, people: str) -> None:
    found = fields(model, people)["label_agreement"]
    assert (found["agreement"], found["kappa"]) == (1.0, None)
    assert found["kappa_status"].startswith("not estimable")


def test_nothing_to_compare_is_null_and_not_nought() -> None:
    found = fields("--", "--", {"Ann": "A-"})["label_agreement"]
    assert (found["n"], found["agreement"], found["kappa"]) == (0, None, None)
