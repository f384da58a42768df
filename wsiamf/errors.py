"""wsiamf's exceptions.

Catch ``WsiamfError`` to catch all of them; each message is one line that names the file, row or option at fault and, where
there is one, the remedy. Errors that a caller may expect as a builtin are that builtin too.

WsiamfError
  SlideError                    a slide could not be opened or read
    SlideNotFoundError            also FileNotFoundError
    UnsupportedSlideError         recognised by no backend, or damaged
    SlideReadError                opened, but pixels could not be decoded
    MppError                      mpp missing, absurd or anisotropic, and none given
  CandidateError                a points file is malformed, or a point lies off its slide; also ValueError
    PointsNotFoundError           also FileNotFoundError
  RegionError                   a region file is malformed or does not meet the slide; also ValueError
  CropError                     a crop image could not be read or has the wrong size
  BundleError                   a model bundle is absent, incomplete, altered or does not fit
  InferenceError                a model cannot be computed here (memory, a backend's failure)
  ConfigError                   a configuration or option holds a wrong value; also ValueError
  TrainingError                 labelled data are unusable, or a training run cannot go on
  CohortError                   a cohort cannot be planned, run or collected
    ManifestError                 rows of the manifest are unusable, all of them named; also ValueError
  ExportError                   results cannot be put into a format
  AgreementError                readers' counts are malformed or meet no results; also ValueError
  ReviewError                   a worklist, decisions or edits of a review cannot be used
  OutputError                   results could not be written
    OutputExistsError             also FileExistsError
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "AgreementError",
    "BundleError",
    "CandidateError",
    "CohortError",
    "ConfigError",
    "CropError",
    "ExportError",
    "InferenceError",
    "ManifestError",
    "MppError",
    "OutputError",
    "OutputExistsError",
    "PointsNotFoundError",
    "RegionError",
    "ReviewError",
    "SlideError",
    "SlideNotFoundError",
    "SlideReadError",
    "TrainingError",
    "UnsupportedSlideError",
    "WsiamfError",
    "problem_line",
]


class WsiamfError(Exception):
    """Root of every error that wsiamf raises on purpose."""


class SlideError(WsiamfError):
    """A slide could not be opened or read."""


class SlideNotFoundError(SlideError, FileNotFoundError):
    """There is no such slide file."""


class UnsupportedSlideError(SlideError):
    """No backend can read the file, or it is damaged."""


class SlideReadError(SlideError):
    """The slide opened, but a region of it could not be decoded."""


class MppError(SlideError):
    """The slide's resolution is missing, absurd or anisotropic, and none was given."""


class CandidateError(WsiamfError, ValueError):
    """A points file is malformed, or a point lies off its slide."""


class PointsNotFoundError(CandidateError, FileNotFoundError):
    """There is no such points file."""


class RegionError(WsiamfError, ValueError):
    """A region file is malformed or does not meet the slide."""


class CropError(WsiamfError):
    """A crop image could not be read or has the wrong size."""


class BundleError(WsiamfError):
    """A model bundle is absent, incomplete, altered or does not fit."""


class InferenceError(WsiamfError):
    """A backend cannot compute a model on this machine."""


class ConfigError(WsiamfError, ValueError):
    """A configuration file or option holds a wrong value."""


class TrainingError(WsiamfError):
    """Labelled data are unusable, or a training run cannot go on."""


class CohortError(WsiamfError):
    """A cohort cannot be planned, run or collected."""


class ManifestError(CohortError, ValueError):
    """Rows of a manifest are unusable; the message names all of them, one a line."""


class ExportError(WsiamfError):
    """Results cannot be put into a format, or what they need is not there."""


class AgreementError(WsiamfError, ValueError):
    """Readers' counts are malformed, or meet no results."""


class ReviewError(WsiamfError):
    """A worklist, decisions or edits of a review are malformed, or do not belong to the results."""


class OutputError(WsiamfError):
    """Results could not be written."""


class OutputExistsError(OutputError, FileExistsError):
    """The output stands already and may not be replaced."""


def problem_line(problems: Iterable[Mapping[str, Any]]) -> str:
    """What pydantic found wrong (``ValidationError.errors()``), on one line: each field and why."""
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}" for one in problems)
