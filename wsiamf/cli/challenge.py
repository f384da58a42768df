"""``wsiamf challenge``."""

from __future__ import annotations

from pathlib import Path

import click

from wsiamf.cli import options


@click.command()
@click.option(
    "--input", "source", type=options.FILE, default="/input", show_default=True, help="The job's input folder."
)
@click.option(
    "--output", "out", type=options.FILE, default="/output", show_default=True, help="Folder for the answers."
)
@options.model_opts
@options.threshold_opt("balanced")
@options.overwrite_opt
def challenge(
    source: Path,
    out: Path,
    model: str | None,
    backend: str,
    device: str,
    batch_size: int | None,
    precision: str,
    threshold: str | float,
    overwrite: bool,
) -> None:
    """Answer a stack of crops as MIDOG 2025 track 2 wants it.

    Reads the one stack (.tif, .tiff, .mha) in images/stacked-histopathology-roi-cropouts of the input folder and writes
    multiple-mitotic-figure-classification.json: class and probability of AMF, one a page.
    """

    from wsiamf.challenge import ANSWERS, answer_crops, find_stack, read_crops, refuse_foreign_answers, write_answers
    from wsiamf.files import refuse_existing
    from wsiamf.inference import load_model

    target = out / ANSWERS
    refuse_existing(target, overwrite=overwrite)
    refuse_foreign_answers(target)
    stack = find_stack(source)
    classifier = load_model(model, backend=backend, device=device, batch_size=batch_size, precision=precision)
    cut_off = options.chosen_cut_off(classifier, threshold)
    answers = answer_crops(read_crops(stack, classifier.spec), classifier, threshold=cut_off)
    write_answers(answers, target)
    click.echo(target)
