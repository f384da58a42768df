"""What a child process does: load the model once, and screen slide after slide with it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from wsiamf.cohort.items import Classes, Item
from wsiamf.errors import WsiamfError
from wsiamf.inference import Classifier, load_model
from wsiamf.screen import screen_slide

logger = logging.getLogger(__name__)

_PROGRESS_S: Final = 1.0
T = TypeVar("T")


class Sender(Protocol):
    """Where answers go."""

    def send(self, kind: str, value: Any) -> None:
        """Write ``{kind: value}``."""
        ...


def answer_all(settings: dict[str, Any], requests: Iterator[dict[str, Any]], answers: Sender) -> None:
    """Load the model, say so, and screen every slide that is asked for.

    Args:
        settings: ``model, backend, device, batch_size, precision, out``.
        requests: ``item, options, error_rates, overwrite`` of each slide.
        answers: As ``wsiamf.cohort.child`` describes them.
    """
    model = _told(answers, partial(_load, settings, answers))
    if model is None:
        return
    for request in requests:
        _told(answers, partial(_answer, request, settings["out"], model, answers))


def _told(answers: Sender, work: Callable[[], T]) -> T | None:
    """Do work; whatever goes wrong becomes one line for the parent, and a traceback in the log where it was not foreseen."""
    try:
        return work()
    except WsiamfError as error:
        answers.send("error", _one_line(str(error)))
    except Exception as error:
        logger.exception("unexpected")
        answers.send("error", _one_line(f"{type(error).__name__}: {error}"))
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _load(settings: dict[str, Any], answers: Sender) -> Classifier:
    model = load_model(
        settings["model"],
        backend=settings["backend"],
        device=settings["device"],
        batch_size=settings["batch_size"],
        precision=settings["precision"],
    )
    answers.send("ready", _classes(model).as_json())
    return model


def _classes(model: Classifier) -> Classes:
    backend = model.backend
    return Classes(backend.name, backend.precision, backend.device_class, model.bundle.sha256)


def _answer(request: dict[str, Any], out: str, model: Classifier, answers: Sender) -> None:
    started = time.perf_counter()
    _screen(request, out, model, _paced(answers))
    answers.send("done", {"seconds": round(time.perf_counter() - started, 3)})


def _screen(request: dict[str, Any], out: str, model: Classifier, on_progress: Callable[[int, int], None]) -> None:
    item = Item.from_json(request["item"])
    assert item.points is not None, "a slide without candidates is not screened"
    logger.info("%s: begins", item.slide_id)
    screen_slide(
        item.slide,
        item.points,
        out=out,
        roi=item.roi,
        regions=item.regions,
        model=model,
        slide_id=item.slide_id,
        error_rates=request["error_rates"],
        overwrite=request["overwrite"],
        new_file=True,  # a manifest's slide_id names the slide; a scan that was replaced is done again
        on_progress=on_progress,
        **request["options"],
    )


def _paced(answers: Sender) -> Callable[[int, int], None]:
    """Tell progress at most once a second, and the end."""
    last = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last >= _PROGRESS_S:
            last = now
            answers.send("progress", [done, total])

    return tell
