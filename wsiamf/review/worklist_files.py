"""``OUT/review/worklist.csv`` with the rows, ``worklist.json`` with how they were drawn: written, extended, read back."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any, Final

import pandas as pd

from wsiamf.errors import ReviewError
from wsiamf.files import atomic_file, dump_json, output_errors, sha256_file, write_text
from wsiamf.review.places import ReviewPlaces
from wsiamf.review.worklist import COLUMNS, Worklist

SCHEMA: Final = "wsiamf.worklist/1"
_NAME, _VERSION = SCHEMA.split("/")
_TEXT: Final = ("slide_id", "fingerprint", "uuid", "candidate_id", "stratum", "review_reason", "listed_by")
_FACTS: Final = ("budget", "seed", "certain_share", "n_figures", "n_certain", "figures_sha256")
_RULES: Final = {
    "impact": "difficulty of the call times its effect on the slide's result; wsiamf.review.impact has the formula",
    "stratum": "certain: by impact, inclusion probability 1; random: simple random sample of all other figures",
    "order": "the first rows are a valid worklist of their own, wherever a reader stops; a larger budget adds rows",
}


def write_worklist(worklist: Worklist, out: Path, *, extends: Worklist | None = None) -> None:
    """Write a worklist, in place of one that stands there.

    Args:
        worklist: To write.
        out: The OUT of ``screen`` or ``cohort``.
        extends: Of ``read_worklist``: that the new one must begin with all of its rows; None to replace any worklist.

    Raises:
        ReviewError: The new one does not begin with the other's rows.
        OutputError: The files cannot be written.
    """
    places = ReviewPlaces(out)
    if extends is not None:
        _check_extends(worklist, extends, places.worklist)
    with output_errors(places.folder):
        places.folder.mkdir(exist_ok=True)
    with atomic_file(places.worklist) as temporary:
        worklist.table.to_csv(temporary, index=False, lineterminator="\n")
    facts = {name: getattr(worklist, name) for name in _FACTS}
    document = {"schema": SCHEMA, **facts, "n_random": worklist.n_random, "rules": _RULES}
    write_text(places.worklist_record, dump_json({**document, "worklist_sha256": sha256_file(places.worklist)}))


def read_worklist(out: Path) -> Worklist:
    """Read the worklist of OUT.

    Raises:
        ReviewError: There is none, it was changed since it was written, or it is of a newer schema.
    """
    places = ReviewPlaces(out)
    remedy = "make it anew: wsiamf review worklist OUT --review-budget N"
    if not places.worklist.is_file() or not places.worklist_record.is_file():
        raise ReviewError(f"{places.worklist}: there is no worklist; {remedy}.")
    facts = _read_record(places.worklist_record)
    if facts.get("worklist_sha256") != sha256_file(places.worklist):
        raise ReviewError(f"{places.worklist}: was changed after it was written; {remedy} --overwrite.")
    try:
        table = pd.read_csv(places.worklist, dtype=dict.fromkeys(_TEXT, object), keep_default_na=False, na_values=[""])
        table = table[list(COLUMNS)]
        _rules(facts)
        return Worklist(table, **{name: facts[name] for name in _FACTS})
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise ReviewError(f"{places.worklist}: cannot be read ({error}); {remedy} --overwrite.") from error


def redraw_command(worklist: Worklist, out: Path) -> str:
    """What draws a worklist anew, by its own rules, from the results as they are now."""
    return f"wsiamf review worklist {shlex.quote(str(out))} {_options(worklist)} --overwrite"


def recorded_rules(out: Path) -> tuple[int, float] | None:
    """Seed and certain share of the worklist of OUT, from its record alone; None where that does not say."""
    try:
        return _rules(_read_record(ReviewPlaces(out).worklist_record))
    except (ReviewError, KeyError, TypeError, ValueError, OverflowError):
        return None


def _rules(facts: dict[str, Any]) -> tuple[int, float]:
    """Seed and certain share, as a draw takes them."""
    seed, share = int(facts["seed"]), float(facts["certain_share"])
    if seed < 0 or not 0 <= share <= 1:
        raise ValueError(f"seed {seed} and certain share {share} of its record draw nothing")
    return seed, share


def _options(worklist: Worklist) -> str:
    return f"--review-budget {worklist.budget} --seed {worklist.seed} --certain-share {worklist.certain_share!r}"


def _read_record(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text("utf-8"))
        name, _, version = str(facts["schema"]).partition("/")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReviewError(f"{path}: cannot be read ({error}); make the worklist anew with --overwrite.") from error
    if name != _NAME or not version.isdigit():
        raise ReviewError(f"{path}: is not the record of a worklist; move it away.")
    if int(version) > int(_VERSION):
        raise ReviewError(f"{path}: written by a newer version ({facts['schema']}); update wsiamf.")
    return dict(facts)


def _check_extends(new: Worklist, old: Worklist, path: Path) -> None:
    keys = ["slide_id", "uuid"]
    n = len(old.table)
    begins_alike = len(new.table) >= n and (new.table[keys].iloc[:n].to_numpy() == old.table[keys].to_numpy()).all()
    if not begins_alike:
        raise ReviewError(
            f"{path}: holds another worklist ({_options(old)}), which this one does not begin with, since an option or the "
            "slides' results differ; extend it with its own options and a larger budget, or replace it with --overwrite "
            "(answers are kept)."
        )
