"""``wsiamf``: the group, logging, and errors as one line with an exit code.

Exit codes: 0 done; 1 something failed and is named on stderr; 2 wrong usage. stdout carries data, stderr talk.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Final

import click

from wsiamf._version import __version__
from wsiamf.errors import ManifestError, WsiamfError
from wsiamf.machine import ARROW_MEMORY
from wsiamf.wording import printable

_COMMANDS: Final = {
    "agree": "Compare counts with those of readers.",
    "calibrate": "Refit a model's calibration and error rates on your own labels.",
    "cohort": "Screen many slides, here or on a cluster.",
    "challenge": "Answer a stack of crops as MIDOG 2025 track 2 wants it.",
    "crops": "Pack a labelled set into a crop store, or show one.",
    "crossval": "Cross-validate a recipe, by slide, and measure it.",
    "diff": "Compare two runs: which figures changed class, and why.",
    "doctor": "Check this machine, with a remedy for what it lacks.",
    "evaluate": "Measure a model on a labelled set.",
    "export": "Write results in another program's format.",
    "info": "Show what a slide file holds.",
    "models": "List models, or show one's card.",
    "points": "Look at points files, and turn one format into another.",
    "predict": "Classify crop images.",
    "report": "Make the page of a slide or a cohort, to look at and to print.",
    "review": "Look at figures, decide, and count what was decided.",
    "screen": "Classify the candidate mitotic figures of one slide.",
    "status": "Show where a cohort stands.",
    "train": "Train a model from labelled crops.",
    "tune": "Search for better settings of a recipe.",
    "verify": "Verify results: every hash, every row count.",
}
"""Each command's module and the line that --help shows; the modules are loaded only when they are called."""

_COLLECT: Final = (200_000, 50, 50)
"""Python's own, 700 new objects, spends a sixth of a start on looking through the modules that are being loaded."""

_HAS_TIMER: Final = hasattr(signal, "setitimer")  # Windows has none
_AGAIN_S: Final = 3.0


class _LazyGroup(click.Group):
    """Loads a command's module when it is called, so that ``wsiamf --help`` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"wsiamf.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name]) for name in self.list_commands(ctx)])


class _Formatter(logging.Formatter):
    """Escapes what a terminal would act on: messages quote names out of files."""

    def format(self, record: logging.LogRecord) -> str:
        return _printable_lines(super().format(record))


def _printable_lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="wsiamf")
@click.option("-v", "--verbose", count=True, help="Say more on stderr; -vv for everything.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
def wsiamf(verbose: int, quiet: bool) -> None:
    """How many of a tumour's mitoses are atypical: classify candidate mitotic figures on whole-slide images.

    Research use only.
    """
    level = logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("wsiamf: %(levelname)s: %(message)s" if verbose > 1 else "wsiamf: %(message)s"))
    logger = logging.getLogger("wsiamf")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False


def main() -> None:
    """Run the command line and end the process with its exit code."""
    gc.set_threshold(*_COLLECT)
    for name, value in ARROW_MEMORY.items():  # before Arrow is loaded
        os.environ.setdefault(name, value)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    if _HAS_TIMER:
        signal.signal(signal.SIGALRM, _interrupt_again)
    exit_code = run(sys.argv[1:])
    if _HAS_TIMER:
        signal.setitimer(signal.ITIMER_REAL, 0)
    gc.freeze()  # else the interpreter spends up to a second on looking through torch's objects before it ends
    sys.exit(exit_code)


def run(arguments: list[str]) -> int:
    """Run one command; every expected failure becomes one line on stderr.

    Returns:
        The exit code.
    """
    try:
        result = wsiamf.main(args=arguments, prog_name="wsiamf", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as help_shown:
        help_shown.show()
        return 2
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except WsiamfError as error:
        whole = isinstance(error, ManifestError)  # which names all that is wrong, one a line
        click.echo(f"wsiamf: error: {_printable_lines(str(error)) if whole else _one_line(str(error))}", err=True)
        return 1
    except (KeyboardInterrupt, click.Abort):
        click.echo(
            "wsiamf: interrupted; nothing half-written was left; a training run or a cohort goes on when called again.",
            err=True,
        )
        return 1
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # a reader that has seen enough is no error to talk of
            told = f"{error.filename or 'stdout'}: {error.strerror or error}"
            click.echo(f"wsiamf: error: {_one_line(told)}", err=True)
        return 1
    return result if isinstance(result, int) else 0


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    # A scheduler's SIGTERM ends a run as Ctrl-C does, so that temporary folders are removed.
    if _HAS_TIMER:
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
    raise KeyboardInterrupt


def _interrupt_again(number: int, frame: FrameType | None) -> None:
    # Extension modules swallow what is raised while they are imported; cleaning up after an interruption is not disturbed.
    error = sys.exc_info()[1]
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return
        error = error.__context__
    _interrupt(number, frame)
