"""``wsiamf review apply``: what the answers make of the results, written beside them and never over them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from wsiamf._version import __version__
from wsiamf.errors import OutputExistsError, ReviewError
from wsiamf.files import atomic_file, dump_json, staged_folder, write_text
from wsiamf.review.agreement import agreement
from wsiamf.review.counting import count
from wsiamf.review.estimates import Design, answered_design, estimate
from wsiamf.review.loading import Review, load_review
from wsiamf.review.reviewed_tables import write_reviewed
from wsiamf.review.settling import Settled

SCHEMA: Final = "wsiamf.review/1"
SUMMARY: Final = "reviewed_summary.json"
AGREEMENT: Final = "agreement.json"
ADJUDICATION: Final = "adjudication.csv"
UNATTACHED: Final = "unattached.csv"
ANSWERS: Final = "answers.csv"
_USE: Final = "research use only"
_FOR_ADJUDICATION: Final = [
    "slide_id",
    "uuid",
    "candidate_id",
    "kind",
    "x",
    "y",
    "x_um",
    "y_um",
    "n_readers",
    "answers",
]
_OF_ANSWER: Final = ("reader", "answer", "blinded", "source", "seconds", "time")
_ANSWER_COLUMNS: Final = (
    *("slide_id", "case_id", "uuid", "candidate_id", "kind", "x_um", "y_um", *_OF_ANSWER),
    *("model_label", "p_atypical", "final_label", "stratum", "inclusion_probability"),
)


@dataclass(frozen=True)
class Applied:
    """What ``apply`` wrote.

    Args:
        folder: ``OUT/review/reviewed``.
        summary: Content of its ``reviewed_summary.json``.
    """

    folder: Path
    summary: dict[str, Any]


def apply_review(
    out: Path,
    *,
    decisions: Sequence[Path] = (),
    readers: Collection[str] | None = None,
    adjudicator: str | None = None,
) -> Applied:
    """Settle the answers and write the reviewed files; what an earlier call wrote is replaced.

    Args:
        out: The OUT of ``screen`` or ``cohort``.
        decisions: Decisions files to merge, in place of OUT's own.
        readers: Whose answers count; None for everybody's.
        adjudicator: Who decides where the others have no majority.

    Raises:
        WsiamfError: There is nothing to apply, a file cannot be used, or the folder cannot be written.
    """
    review = load_review(out, decisions=decisions, readers=readers, adjudicator=adjudicator)
    _check_names(review)
    design = answered_design(review.settled, review.worklist)
    counts, estimates = count(review.settled), estimate(review.settled, design)
    summary = {**_head(review, adjudicator), "counts": counts, "estimates": estimates}
    folder = review.places.reviewed
    table = review.settled.table
    rows = table.groupby("slide_id").indices
    with staged_folder(folder, overwrite=True, may_replace=_check_own) as staged:
        for result in review.results:
            own = staged / result.slide_id
            own.mkdir()
            write_reviewed(own, result, table.iloc[rows.get(result.slide_id, [])])
            write_text(own / SUMMARY, dump_json(_slide_summary(result.slide_id, summary)))
        _write_csv(staged / ADJUDICATION, _waiting(review.settled))
        _write_csv(staged / UNATTACHED, _unattached(review.settled))
        _write_csv(staged / ANSWERS, answers_table(review.settled, design))
        pairs = agreement(review.settled, design, adjudicator=adjudicator)
        write_text(staged / AGREEMENT, dump_json({"schema": SCHEMA, **pairs}))
        write_text(staged / SUMMARY, dump_json(summary))
    return Applied(folder, summary)


def answers_table(settled: Settled, design: Design) -> pd.DataFrame:
    """Every answer that was given to a figure, one row each: what a statistics program needs.

    Returns:
        ``slide_id, case_id, uuid, candidate_id, kind, x_um, y_um, reader, answer, blinded, source, seconds, time, model_label,
        p_atypical, final_label, stratum`` (``certain`` or ``random`` in the rows of the worklist that estimates use, else
        empty) and ``inclusion_probability`` (likewise).
    """
    rows = []
    columns = settled.table.rename(columns={"label": "model_label"})
    for place in sorted(settled.votes):
        figure = columns.iloc[place]
        of_figure = {name: figure[name] for name in _ANSWER_COLUMNS if name in columns}
        of_figure |= zip(("stratum", "inclusion_probability"), design.drawn(place), strict=True)
        for decision in settled.votes[place].values():
            rows.append(of_figure | {name: getattr(decision, name) for name in _OF_ANSWER})
    return pd.DataFrame(rows, columns=list(_ANSWER_COLUMNS))


def _head(review: Review, adjudicator: str | None) -> dict[str, Any]:
    worklist = review.worklist
    facts = ("budget", "seed", "certain_share", "n_figures", "n_certain", "n_random")
    answers = [one for ballot in review.settled.votes.values() for one in ballot.values()]
    readers = {
        name: {"n_answers": len(own), "n_blinded": sum(one.blinded for one in own)}
        for name in sorted({one.reader for one in answers})
        if (own := [one for one in answers if one.reader == name])
    }
    return {
        "schema": SCHEMA,
        "use": _USE,
        "wsiamf": __version__,
        "models": sorted({result.model for result in review.results}),
        "worklist": None if worklist is None else {name: getattr(worklist, name) for name in facts},
        "readers": readers,
        "adjudicator": adjudicator,
        "n_unattached": len(review.settled.unattached),
        "n_added_near_a_candidate": int(review.settled.table["near_um"].notna().sum()),
        "warnings": _warnings(review),
    }


def _check_names(review: Review) -> None:
    """Raise where a slide's folder has the name of a file that stands beside it."""
    for result in review.results:
        if result.slide_id in (SUMMARY, AGREEMENT, ADJUDICATION, UNATTACHED, ANSWERS):
            raise ReviewError(
                f"{result.folder}: a slide's folder cannot be called {result.slide_id}, as a file of review apply is; "
                "rename the folder (answers hang on the slide's content and stay)."
            )


def _warnings(review: Review) -> list[str]:
    warnings = []
    if n := len(review.settled.unattached):
        warnings.append(f"{n} answers are about no figure of these results; {UNATTACHED} lists them")
    if n := int(review.settled.table["near_um"].notna().sum()):
        warnings.append(f"{n} added figures lie within 7.5 um of a candidate: the same figure, perhaps")
    cases = review.figures.groupby("slide_id")["case_id"].first()
    if len(cases) > 1 and (n := int(cases.isna().sum())):
        warnings.append(f"no case is given for {n} of {len(cases)} slides: each counts as a case of its own")
    by_mark: dict[str, list[str]] = {}
    for result in review.results:
        by_mark.setdefault(result.fingerprint, []).append(result.slide_id)
    warnings += [f"{', '.join(names)} are one slide, counted each" for names in by_mark.values() if len(names) > 1]
    return warnings


def _slide_summary(slide_id: str, summary: dict[str, Any]) -> dict[str, Any]:
    head = {name: summary[name] for name in ("schema", "use", "wsiamf", "adjudicator")}
    counts, estimates = summary["counts"], summary["estimates"]
    said = {name: estimates[name] for name in ("covers", "method")}
    return {
        **head,
        "slide_id": slide_id,
        "counts": {"covers": counts["covers"], **counts["slides"][slide_id]},
        "estimates": {**said, **estimates["slides"][slide_id]},
    }


def _waiting(settled: Settled) -> pd.DataFrame:
    table = settled.table
    return table.loc[table["adjudicate"].to_numpy(dtype=bool), _FOR_ADJUDICATION]


def _unattached(settled: Settled) -> pd.DataFrame:
    rows = [
        {**asdict(one.decision), "reason": one.reason, "nearest_um": one.nearest_um and round(one.nearest_um, 3)}
        for one in settled.unattached
    ]
    names = ["slide_id", "fingerprint", "x_um", "y_um", "kind", *_OF_ANSWER, "candidate_uuid", "reason", "nearest_um"]
    return pd.DataFrame(rows, columns=names)


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    with atomic_file(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def _check_own(folder: Path) -> None:
    if not (folder / SUMMARY).is_file():
        raise OutputExistsError(f"{folder}: was not written by wsiamf review apply; move it away.")
