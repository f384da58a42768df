"""Settled figures as labels for training and calibration: which they are, and how much each of them stands for."""

from __future__ import annotations

from typing import Final

import pandas as pd

from wsiamf.classes import AMF, NMF
from wsiamf.errors import ReviewError
from wsiamf.review.estimates import Design, answered_design
from wsiamf.review.loading import Review
from wsiamf.review.settling import REVIEW, Ballot
from wsiamf.review.worklist import drawn_from_all

VOTE: Final = "vote_"
_CLASSES: Final = (AMF, NMF)


def label_rows(review: Review, *, random_only: bool = False) -> pd.DataFrame:
    """The figures that readers settled as AMF or NMF, added ones too.

    Args:
        review: Of ``loading.load_review``.
        random_only: Only the (nearly simple) random sample of all figures that the worklist holds, which stands for the slides
            as they are: what ``wsiamf calibrate`` asks for.

    Returns:
        One row a figure: ``slide_id``, ``case_id``, ``uuid``, ``candidate_id`` (None for an added one), ``kind``, ``x, y``
        (level-0 px), ``label``, ``readers`` (names with ``; `` between), ``n_readers``, ``blinded`` (whether all were),
        ``stratum`` and ``inclusion_probability`` (None where the figure was not drawn), ``weight`` (1 / inclusion probability,
        1 where there is none, over their mean) and a column ``vote_<reader>`` for each reader (None where she said neither).

    Raises:
        ReviewError: No figure has such a label, or nothing was drawn at random.
    """
    settled, design = review.settled, answered_design(review.settled, review.worklist)
    table = settled.table
    labelled = ((table["source"] == REVIEW) & table["final_label"].isin(_CLASSES)).to_numpy(dtype=bool)
    drawn = _random_keys(review, design) if random_only else None
    rows = []
    for place in labelled.nonzero()[0].tolist():
        figure = table.iloc[place]
        if drawn is None or (figure["slide_id"], figure["uuid"]) in drawn:
            rows.append(
                _row(figure, settled.votes[place], _drawn(design, place, None if drawn is None else len(drawn)))
            )
    if not rows:
        raise ReviewError(
            "no figure is settled as AMF or NMF"
            + (" among those drawn at random" if random_only else "")
            + "; go on with the review."
        )
    labels = pd.DataFrame(rows)
    mpp = {result.slide_id: result.frame.mpp for result in review.results}
    per_px = labels["slide_id"].map(mpp)
    labels["x"], labels["y"] = labels.pop("x_um") / per_px, labels.pop("y_um") / per_px
    labels["weight"] = (labels["weight"] / labels["weight"].mean()).round(6)
    return labels


def readers_in(labels: pd.DataFrame) -> list[str]:
    """Names of the readers who have a vote in it, those with most votes first."""
    votes = [str(name) for name in labels if str(name).startswith(VOTE)]
    n_votes = {name: int(labels[name].notna().to_numpy().sum()) for name in votes}
    by_number = sorted(votes, key=lambda name: (-n_votes[name], name))
    return [name.removeprefix(VOTE) for name in by_number]


def _random_keys(review: Review, design: Design) -> set[tuple[str, str]]:
    if review.worklist is None or design.reason is not None:
        raise ReviewError(f"--random-only: {design.reason or 'there is no worklist'}.")
    first = review.worklist.table.iloc[: design.n_used]
    chosen = first[drawn_from_all(first, design.n_used)]
    if chosen.empty:
        raise ReviewError("--random-only: no figure drawn at random is answered; go on with the review.")
    return set(zip(chosen["slide_id"], chosen["uuid"], strict=True))


def _drawn(design: Design, place: int, n_random: int | None) -> dict[str, object]:
    """Stratum and inclusion probability; of the sample of all figures the same for each of them."""
    if n_random is not None:
        return {"stratum": "random", "inclusion_probability": n_random / len(design.certain)}
    stratum, probability = design.drawn(place)
    return {"stratum": stratum, "inclusion_probability": probability}


def _row(figure: pd.Series, ballot: Ballot, drawn: dict[str, object]) -> dict[str, object]:
    probability = drawn["inclusion_probability"]
    of_figure = ("slide_id", "case_id", "uuid", "candidate_id", "kind", "x_um", "y_um")
    votes = {f"{VOTE}{reader}": str(one.answer) if one.answer.is_mitosis else None for reader, one in ballot.items()}
    return {
        **{name: figure[name] for name in of_figure},
        "label": figure["final_label"],
        "readers": "; ".join(ballot),
        "n_readers": len(ballot),
        "blinded": all(one.blinded for one in ballot.values()),
        **drawn,
        "weight": 1.0 if probability is None else 1 / float(str(probability)),
        **votes,
    }
