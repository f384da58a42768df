"""``wsiamf review``."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import click

from wsiamf.cli.options import FILE, adjudicator_opt, slides_opt
from wsiamf.cli.review_serve import serve

_DEFAULT: Final = "serve"


class _ReviewGroup(click.Group):
    """``wsiamf review OUT`` is ``wsiamf review serve OUT``; an OUT that is called like a command needs ``./`` before it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {*self.list_commands(ctx), *ctx.help_option_names}
        if args and args[0] not in known:
            if not args[0].startswith("-") and not Path(args[0]).exists():
                near = get_close_matches(args[0], known, n=1)
                meant = f"; did you mean {near[0]}?" if near else "."
                ctx.fail(f"{args[0]}: no such command or folder{meant}")
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


_OUT: Final = click.argument("out", type=FILE, metavar="OUT")
_DECISIONS: Final = click.option(
    "--decisions",
    type=FILE,
    multiple=True,
    metavar="FILE",
    help="A decisions file in place of OUT's own; given again, answers of readers who worked apart are merged.",
)
_READERS: Final = click.option(
    "--reader", "readers", multiple=True, metavar="NAME", help="Only this reader's answers count; may be given again."
)


@click.group(cls=_ReviewGroup, context_settings={"max_content_width": 110})
def review() -> None:
    """Look at figures, decide, and count what was decided.

    OUT is the folder of results of screen or cohort. `wsiamf review OUT` opens the review in the browser. Research use only.
    """


review.add_command(serve)


@review.command(short_help="Draw the figures to be looked at.")
@_OUT
@click.option(
    "--review-budget",
    "budget",
    type=click.IntRange(min=1),
    required=True,
    metavar="N",
    help="Number of figures to look at, over all slides.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=None,
    help="Of the random sample; 0, or that of the worklist that stands there.",
)
@click.option(
    "--certain-share",
    type=click.FloatRange(0, 1),
    default=None,
    help="Share of the figures taken by impact, others are drawn at random; 0.5, or that of the worklist that stands there.",
)
@click.option("--overwrite", is_flag=True, help="Replace a worklist that this one does not extend; answers are kept.")
def worklist(out: Path, budget: int, seed: int | None, certain_share: float | None, overwrite: bool) -> None:
    """Draw a worklist: figures whose answer matters most, mixed with a random sample of all others.

    Answered from the top, it gives estimates for all figures, wherever a reader stops. A larger budget keeps all rows and adds
    more.
    """
    from wsiamf.review.drawing import draw_worklist

    drawn = draw_worklist(out, budget=budget, seed=seed, certain_share=certain_share, overwrite=overwrite)
    click.echo(out / "review" / "worklist.csv")
    click.echo(
        f"wsiamf: {len(drawn.table)} of {drawn.n_figures} figures: {drawn.n_certain} certain, {drawn.n_random} at random "
        f"(seed {drawn.seed})",
        err=True,
    )


@review.command(short_help="Write counts, tables and GeoJSON with the answers.")
@_OUT
@_DECISIONS
@_READERS
@adjudicator_opt
def apply(out: Path, decisions: tuple[Path, ...], readers: tuple[str, ...], adjudicator: str | None) -> None:
    """Settle the answers and write OUT/review/reviewed: never over the results, in place of what apply wrote before."""
    from wsiamf.review.applying import apply_review

    applied = apply_review(out, decisions=decisions, readers=readers or None, adjudicator=adjudicator)
    click.echo(applied.folder)
    click.echo(_told(applied.summary), err=True)
    for warning in applied.summary["warnings"]:
        click.echo(f"wsiamf: {warning}", err=True)


def _told(summary: dict[str, Any]) -> str:
    counts = summary["counts"]["all"]
    first = (
        f"wsiamf: {counts['n_reviewed']} of {counts['n_candidates']} figures reviewed, {counts['n_unresolved']} unresolved, "
        f"{counts['n_adjudicate']} for adjudication, {counts['added']['n']} added"
    )
    lines = [first]
    for name, words in (("without_review", "without review"), ("with_review", "with review")):
        one = counts[name]
        share = "not estimable" if one["amf_fraction"] is None else f"{one['amf_fraction']:.3f}"
        lines.append(f"wsiamf: {words}: {one['n_amf']} AMF of {one['n']} figures ({share})")
    found = summary["estimates"]["all"]
    interval = found["amf_fraction_interval95"]
    if interval is None:
        lines.append(f"wsiamf: AMF fraction of all figures: {found['amf_fraction_status']}")
    else:
        lines.append(
            f"wsiamf: estimated AMF fraction of all figures: {found['amf_fraction']:.3f} "
            f"({interval['low']:.3f} to {interval['high']:.3f}), precision {found['precision']:.3f}"
        )
    return "\n".join(lines)


@review.command(short_help="Write settled figures as labels for training.")
@_OUT
@click.option(
    "--format",
    "to",
    type=click.Choice(["manifest", "midog25"]),
    required=True,
    help="manifest: for train and calibrate; midog25: as MIDOG 2025 track 2.",
)
@click.option(
    "--to", "target", type=FILE, required=True, metavar="FOLDER", help="New folder for labels.csv and the crops."
)
@click.option(
    "--random-only", is_flag=True, help="Only the random sample of all figures, as wsiamf calibrate wants it."
)
@slides_opt
@_DECISIONS
@_READERS
@adjudicator_opt
@click.option("--overwrite", is_flag=True, help="Replace a folder that this command wrote.")
def export(
    out: Path,
    to: str,
    target: Path,
    random_only: bool,
    slides: tuple[Path, ...],
    decisions: tuple[Path, ...],
    readers: tuple[str, ...],
    adjudicator: str | None,
    overwrite: bool,
) -> None:
    """Write the figures that readers settled as AMF or NMF as crops with labels, reader, blinding, probability and weight."""
    from wsiamf.review.label_export import export_labels
    from wsiamf.review.loading import load_review

    loaded = load_review(out, decisions=decisions, readers=readers or None, adjudicator=adjudicator)
    written = export_labels(loaded, to, target, random_only=random_only, slides=slides, overwrite=overwrite)
    click.echo(written.table)
    click.echo(f"wsiamf: {written.n} figures, {written.n_amf} of them AMF", err=True)


@review.command("import", short_help="Take over edits made in QuPath.")
@_OUT
@click.argument("edited", type=FILE, metavar="EDITED.GEOJSON")
@click.option("--reader", required=True, metavar="NAME", help="Who edited it.")
@click.option("--slide", "slide_id", metavar="ID", help="Which slide it is of, where its objects do not tell.")
@click.option(
    "--deletions",
    type=click.Choice(["non-mitotic"]),
    help="What it means that a figure is missing; left out: nothing.",
)
def import_(out: Path, edited: Path, reader: str, slide_id: str | None, deletions: str | None) -> None:
    """Keep what a reader changed in QuPath: classes (AMF, NMF, non-mitotic, Ignore*), new objects, and, if asked, deletions.

    EDITED.GEOJSON is what QuPath exports of detections.geojson, review.geojson or reviewed_detections.geojson.
    """
    from wsiamf.review.answers import Answer
    from wsiamf.review.importing import import_edits

    meaning = None if deletions is None else Answer(deletions)
    done = import_edits(out, edited, reader=reader, slide_id=slide_id, deletions=meaning)
    n_added = sum(one.kind == "added" for one in done.edits.decisions)
    click.echo(
        f"wsiamf: {done.n_new} new answers of {reader} ({n_added} additions, {done.edits.n_deleted} deletions in the file), "
        f"{done.n_known} known already; {done.edits.n_unchanged} figures unchanged, {done.edits.n_other} other objects",
        err=True,
    )
