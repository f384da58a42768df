"""What is under review, and what a reader may see of it.

Blinding is decided here: what a blinded reader must not know (calls, probabilities, ranks, strata, reasons, other readers'
answers, counts) never leaves the server.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.errors import ReviewError
from wsiamf.export.results import SlideResult
from wsiamf.files import sha256_bytes
from wsiamf.review.answers import ADDED, FIGURE, Answer, Decision
from wsiamf.review.attaching import attach
from wsiamf.review.counting import count
from wsiamf.review.decisions import DecisionStore
from wsiamf.review.figures import empty_slides, load_figures
from wsiamf.review.server import packing
from wsiamf.review.server.shown_slides import mark_of
from wsiamf.review.settling import Settled, settle, verdict
from wsiamf.review.worklist import Worklist, figures_hash, reader_order
from wsiamf.review.worklist_files import redraw_command
from wsiamf.summary.ranking import expert_columns_in

_log = logging.getLogger(__name__)

UNLISTED_REVIEW: Final = 500
"""Figures on the list where no worklist was made: the first by rank."""

_HASH_DIGITS: Final = 16


class Board:
    """The figures of all slides, the worklist, and the decisions file.

    Args:
        out: Folder of results.
        results: Of ``find_results(out)``.
        store: The decisions.
        worklist: In the order of review; None where none was made: the first figures by rank are listed then.
        blinded: Whether readers must not see calls, ranks, reasons and one another.
        adjudicator: The reader who decides where the others have no majority.

    Attributes:
        results_hash: Tells these results and this worklist, as the page is sent them, from all others.

    Raises:
        ReviewError: The results cannot be read, or the worklist names figures that are not among them.
    """

    def __init__(
        self,
        out: Path,
        results: list[SlideResult],
        store: DecisionStore,
        *,
        worklist: Worklist | None,
        blinded: bool = False,
        adjudicator: str | None = None,
    ) -> None:
        self.results = results
        self.store = store
        self.blinded = blinded
        self.adjudicator = adjudicator
        self._drawn = worklist is not None
        self.figures = load_figures(self.results)
        self._redraw = None if worklist is None else self._check_current(worklist, out)
        self._empty = empty_slides(self.results, self.figures)
        self._numbers = {result.slide_id: number for number, result in enumerate(self.results)}
        self._starts = self._first_rows()
        self._row_of = {
            key: row for row, key in enumerate(zip(self.figures["slide_id"], self.figures["uuid"], strict=True))
        }
        self._listed, self._strata, self._probabilities = self._list(worklist, out)
        self._places = self.figures[["x", "y"]].to_numpy(dtype=np.float64)
        self._classes = packing.class_numbers(self.figures)
        self._p = packing.packed_p(self.figures)
        self._flags = packing.flags_of(self.figures, self._strata)
        if blinded:
            self._classes[:] = 0
            self._p[:] = packing.NO_P
            self._flags[:] = 0
        self._fixed = self._fixed_facts()
        self.results_hash = self._hash_of_results()
        self._lock = threading.Lock()
        self._settled: tuple[int, Settled] | None = None
        self._counted: tuple[Settled, dict[str, Any]] | None = None

    @property
    def review_id(self) -> str:
        """Names the decisions file; a browser keeps what it has not sent to it under this, whatever slides are added."""
        return self.store.file_id

    def slide_of(self, number: int) -> SlideResult | None:
        """A slide by its number; None where there is none."""
        return self.results[number] if 0 <= number < len(self.results) else None

    def row_of(self, slide: int, figure: int) -> int | None:
        """Row in ``figures`` of a slide's figure; None where there is none."""
        if not 0 <= slide < len(self.results) or not 0 <= figure < self._starts[slide + 1] - self._starts[slide]:
            return None
        return int(self._starts[slide] + figure)

    def slide_named(self, slide_id: str) -> SlideResult | None:
        """A slide by its id; None where there is none."""
        number = self._numbers.get(slide_id)
        return None if number is None else self.results[number]

    def row_named(self, slide_id: str, uuid: str) -> int | None:
        """Row in ``figures`` of the figure with a uuid on the slide with an id; None where there is none."""
        return self._row_of.get((slide_id, uuid))

    def session(self) -> dict[str, Any]:
        """What the page needs first."""
        readers = [] if self.blinded else sorted({one.reader for one in self.store.current()})
        return self._fixed | {"adjudicator": None if self.blinded else self.adjudicator, "readers": readers}

    def packed_figures(self, slide: int) -> bytes:
        """The figures of one slide (``packing``)."""
        rows = slice(int(self._starts[slide]), int(self._starts[slide + 1]))
        return packing.pack_figures(self.figures.iloc[rows], self._classes[rows], self._p[rows], self._flags[rows])

    def worklist(self, reader: str) -> list[list[float]]:
        """The list as (slide, figure, class, flags, P, x, y) each; for blinded readers in an order of their own."""
        rows = self._listed[reader_order(len(self._listed), reader)] if self.blinded else self._listed
        columns = (self._classes, self._flags, self._p, *self._places.T)
        shown = zip(*(column[rows].tolist() for column in columns), strict=True)
        return [[*self._place(int(row)), *values] for row, values in zip(rows, shown, strict=True)]

    def case(self, row: int) -> dict[str, Any]:
        """All that may be shown of one figure."""
        figure = self.figures.iloc[row]
        if self.blinded:
            return {"uuid": figure["uuid"]}
        names = ("uuid", "candidate_id", "label", "p_atypical", "p_hard", "hard")
        shown = {name: _plain(figure[name]) for name in names}
        # a column that another slide's model has more experts for is null here
        experts = [_plain(figure[name]) for name in expert_columns_in(self.figures)]
        return shown | {
            "experts": [value for value in experts if value is not None],
            "rank": _plain(figure["review_rank"]),
            "reason": _plain(figure["review_reason"]),
            "stratum": _plain(self._strata.iloc[row]),
            "inclusion_probability": _plain(self._probabilities.iloc[row]),
        }

    def shown_revision(self, reader: str) -> int:
        """What a reader may know of the file's revision: blinded, how often she herself has answered or taken back."""
        return len(self.store.numbers_of(reader)) if self.blinded else self.store.revision()

    def shown_number(self, number: int, reader: str) -> int:
        """Number of a row of the decisions file as its reader is told it: blinded, it counts her own rows alone."""
        return self.store.numbers_of(reader).index(number) + 1 if self.blinded else number

    def number_of(self, shown: int, reader: str) -> int | None:
        """The row that a reader was told this number of; None where there is none."""
        if not self.blinded:
            return shown
        own = self.store.numbers_of(reader)
        return own[shown - 1] if 0 < shown <= len(own) else None

    def answers(self, reader: str) -> list[dict[str, Any]]:
        """Answers that stand and that a reader may see: everybody's, or when blinded the reader's own."""
        if self.blinded:
            return list(self._own(reader))
        settled = self.settled()
        return [
            self._given(row, settled.table, decision)
            for row, ballot in settled.votes.items()
            for decision in ballot.values()
        ]

    def counts(self) -> dict[str, Any]:
        """The counts of ``counting.count``, as ``wsiamf review apply`` has them."""
        settled = self.settled()
        with self._lock:
            if self._counted is None or self._counted[0] is not settled:
                self._counted = settled, count(settled)
            return self._counted[1]

    def disputes(self) -> list[dict[str, Any]]:
        """Figures on which readers have no majority, the adjudicator's own answer beside each."""
        settled = self.settled()
        found = []
        for row, ballot in sorted(settled.votes.items()):
            others = {name: one for name, one in ballot.items() if name != self.adjudicator}
            if not verdict(others).adjudicate:
                continue
            decider = ballot.get(self.adjudicator) if self.adjudicator else None
            votes = [{"reader": name, "answer": str(one.answer)} for name, one in others.items()]
            settled_as = None if decider is None else str(decider.answer)
            found.append(self._placed(row, settled.table) | {"answers": votes, "settled": settled_as})
        return found

    def settled(self) -> Settled:
        """Every figure's label now; worked out once for each state of the decisions file."""
        with self._lock:
            revision = self.store.revision()
            if self._settled is None or self._settled[0] != revision:
                settled = settle(
                    self.figures, self.store.current(), adjudicator=self.adjudicator, empty_slides=self._empty
                )
                self._settled = revision, settled
            return self._settled[1]

    def decision_on(self, row: int, reader: str, answer: Answer, seconds: float | None, time: str) -> Decision:
        """An answer about a figure."""
        figure = self.figures.iloc[row]
        place = float(figure["x_um"]), float(figure["y_um"])
        return self._decision(str(figure["slide_id"]), place, reader, answer, seconds, time, uuid=str(figure["uuid"]))

    def addition(
        self,
        slide: SlideResult,
        place_px: tuple[float, float],
        reader: str,
        answer: Answer,
        seconds: float | None,
        time: str,
    ) -> Decision:
        """A figure that the points missed, at a place in level-0 px."""
        place = place_px[0] * slide.frame.mpp, place_px[1] * slide.frame.mpp
        return self._decision(slide.slide_id, place, reader, answer, seconds, time, uuid=None)

    def _decision(
        self,
        slide_id: str,
        place_um: tuple[float, float],
        reader: str,
        answer: Answer,
        seconds: float | None,
        time: str,
        *,
        uuid: str | None,
    ) -> Decision:
        return Decision(
            slide_id=slide_id,
            fingerprint=self.results[self._numbers[slide_id]].fingerprint,
            x_um=place_um[0],
            y_um=place_um[1],
            kind=ADDED if uuid is None else FIGURE,
            reader=reader,
            answer=answer,
            blinded=self.blinded,
            source="browser",
            candidate_uuid=uuid,
            seconds=seconds,
            time=time,
        )

    def _first_rows(self) -> NDArray[np.int64]:
        """Row of each slide's first figure, and the number of all: slides follow one another in the table."""
        numbers = self.figures["slide_id"].map(self._numbers).to_numpy(dtype=np.int64)
        return np.searchsorted(numbers, np.arange(len(self.results) + 1)).astype(np.int64)

    def _fixed_facts(self) -> dict[str, Any]:
        """The part of ``session`` that no answer changes."""
        slides = [
            {
                "id": result.slide_id,
                "name": result.slide_name,
                "mark": mark_of(result),
                "n_figures": int(self._starts[number + 1] - self._starts[number]),
            }
            for number, result in enumerate(self.results)
        ]
        of_list = {"drawn": self._drawn, "redraw": self._redraw}
        return {"review": self.review_id, "blinded": self.blinded, "slides": slides} | of_list

    def _hash_of_results(self) -> str:
        """Of all that a page's lists are made from, as it is sent: what blinding hides changes nothing."""
        named = json.dumps([self._fixed, self.figures["uuid"].tolist()]).encode()
        columns = (self._places, self._classes, self._p, self._flags, self._listed)
        return sha256_bytes(b"".join((named, *(column.tobytes() for column in columns))))[:_HASH_DIGITS]

    def _check_current(self, worklist: Worklist, out: Path) -> str | None:
        """Warn where a worklist was drawn from other figures, and give what draws it anew; None where it was not."""
        if figures_hash(self.figures) == worklist.figures_sha256:
            return None
        _log.warning(
            "the worklist was drawn from other figures than the results have now, which makes no estimate valid; draw it "
            "anew (answers are kept): %s",
            redraw_command(worklist, out),
        )
        return redraw_command(worklist, Path("OUT"))  # readers need not know where it lies

    def _list(self, worklist: Worklist | None, out: Path) -> tuple[NDArray[np.int64], pd.Series, pd.Series]:
        """Rows under review in order, and of every figure its stratum and inclusion probability (null off the list)."""
        strata = np.full(len(self.figures), None, dtype=object)
        probabilities = np.full(len(self.figures), np.nan)
        if worklist is None:
            ranked = self.figures["review_rank"].astype("Float64").sort_values(kind="stable").dropna()
            rows = ranked.index.to_numpy(dtype=np.int64)[:UNLISTED_REVIEW]
        else:
            rows = np.array(list(self._rows_of(worklist, out)), dtype=np.int64)
            strata[rows] = worklist.table["stratum"].to_numpy()
            probabilities[rows] = worklist.table["inclusion_probability"].to_numpy(dtype=np.float64)
        return rows, pd.Series(strata), pd.Series(probabilities)

    def _rows_of(self, worklist: Worklist, out: Path) -> Iterator[int]:
        for key in zip(worklist.table["slide_id"], worklist.table["uuid"], strict=True):
            if key not in self._row_of:
                raise ReviewError(
                    f"worklist: {key[0]} has no figure {key[1]}, since the slide was screened anew; draw it anew (answers are "
                    f"kept): {redraw_command(worklist, out)}"
                )
            yield self._row_of[key]

    def _own(self, reader: str) -> Iterator[dict[str, Any]]:
        own = [one for one in self.store.current() if one.reader == reader]
        numbers: dict[int | None, int] = {
            number: shown for shown, number in enumerate(self.store.numbers_of(reader), start=1)
        }
        attached = attach(self.figures, own, empty_slides=self._empty)
        for row, decisions in attached.of_figure.items():
            yield self._given(row, self.figures, decisions[-1]) | {"id": numbers[decisions[-1].decision_id]}
        first = len(self.figures)
        added = attached.added.set_axis(range(first, first + len(attached.added)))
        for row, decisions in enumerate(attached.of_added, start=first):
            yield self._given(row, added, decisions[-1]) | {"id": numbers[decisions[-1].decision_id]}

    def _given(self, row: int, table: pd.DataFrame, decision: Decision) -> dict[str, Any]:
        return self._placed(row, table) | {
            "id": decision.decision_id,
            "kind": decision.kind,
            "reader": decision.reader,
            "answer": str(decision.answer),
        }

    def _placed(self, row: int, table: pd.DataFrame) -> dict[str, Any]:
        """Slide, figure (None for an added one) and level-0 place of a row."""
        if row < len(self.figures):
            slide, figure = self._place(row)
            x, y = self._places[row].tolist()
            return {"slide": slide, "figure": figure, "x": x, "y": y}
        one = table.loc[row].to_dict()
        slide = self._numbers[str(one["slide_id"])]
        mpp = self.results[slide].frame.mpp
        return {"slide": slide, "figure": None, "x": one["x_um"] / mpp, "y": one["y_um"] / mpp}

    def _place(self, row: int) -> tuple[int, int]:
        slide = int(np.searchsorted(self._starts, row, side="right")) - 1
        return slide, int(row - self._starts[slide])


def _plain(value: Any) -> Any:
    """A value for JSON: null for what is missing, else Python's own type."""
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value
