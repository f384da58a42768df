"""DICOM Microscopy Bulk Simple Annotations for slides that are DICOM: a group of points a class, with P(atypical) and the
detector's score.

Coordinates are pixels of the total pixel matrix of the slide's finest instance, in which the first pixel's centre is (1,
1): level-0 px and a half. The slide's files are opened, for what identifies the patient, the study and the instance
stands there alone; it is copied, as DICOM wants. Needs the extra ``dicom``.
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsiamf._version import __version__
from wsiamf.classes import AMF, NMF
from wsiamf.errors import ExportError
from wsiamf.export.formats.base import Format, Options
from wsiamf.export.marks import CLASS_NAMES, Mark, class_color, iter_marks
from wsiamf.export.results import SlideResult
from wsiamf.export.uuids import NAMESPACE
from wsiamf.slides import open_slide

_FIRST_PIXEL_CENTRE: Final = 0.5  # (1, 1) is the centre of the pixel whose outer corner is our (0, 0)
_CODING_SCHEME: Final = "99WSIAMF"  # private, as 99 says: no public terminology tells atypical from normal figures
_MEANINGS: Final = {AMF: "Atypical mitotic figure", NMF: "Normal mitotic figure"}
_SERIES_NUMBER: Final = 9001
_LABEL: Final = "WSIAMF"
_IDENTITY: Final = ("StudyInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
# what DICOM wants to be there, even if empty, and some converters leave out
_TYPE_2: Final = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
)


def _write(path: Path, results: Sequence[SlideResult], options: Options) -> None:
    (result,) = results
    highdicom, pydicom = _libraries()
    slide = options.slide_of(result)
    source = _source_instance(result, slide, pydicom)
    groups = _groups(result, options, highdicom)
    if not groups:
        raise ExportError(
            f"{result.folder}: no figure counts, and DICOM annotations cannot be empty; nothing to export."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote the slide's header, the patient's name among it
        try:
            annotations = highdicom.ann.MicroscopyBulkSimpleAnnotations(
                source_images=[source],
                annotation_coordinate_type="2D",
                annotation_groups=groups,
                series_instance_uid=_uid(result, "series"),
                series_number=_SERIES_NUMBER,
                sop_instance_uid=_uid(result, "instance", result.model, str(options.every_row)),
                instance_number=1,
                manufacturer="wsiamf",
                manufacturer_model_name="wsiamf",
                software_versions=__version__,
                device_serial_number=result.model[:64],
                content_description="Candidate mitotic figures, classified; research use only",
                content_label=_LABEL,
            )
        except ValueError:
            raise ExportError(
                f"{slide}: its header has a value of PatientSex, PatientBirthDate, StudyDate or StudyTime that DICOM does "
                "not allow, and annotations copy them; correct it there, or use another --to."
            ) from None  # the cause quotes the value
        _fix_times(annotations, source)
        annotations.save_as(path)


def _libraries() -> tuple[Any, Any]:
    try:
        return import_module("highdicom"), import_module("pydicom")
    except ImportError as error:
        raise ExportError('dicom-ann: highdicom is not installed; run pip install "wsiamf[dicom]".') from error


def _source_instance(result: SlideResult, path: Path, pydicom: Any) -> Any:
    """The slide's finest instance, without its pixels.

    Raises:
        ExportError: The slide is not there, is another one, is no DICOM slide, or its header does not identify it.
    """
    if result.summary["slide"]["vendor"] != "dicom":
        raise ExportError(
            f"{result.slide_name}: not a DICOM slide, so it can have no DICOM annotations; use another --to."
        )
    if not path.exists():
        raise ExportError(f"{path}: the slide is not there any more; say where it is with --slide.")
    with open_slide(path, mpp=result.frame.mpp) as slide:
        if slide.fingerprint != result.fingerprint:
            raise ExportError(f"{path}: is not the slide that was screened; give that one with --slide.")
    size = (result.frame.width, result.frame.height)
    for dataset in _datasets(path, pydicom):
        if (dataset.get("TotalPixelMatrixColumns"), dataset.get("TotalPixelMatrixRows")) == size:
            return _identified(dataset, path)
    raise ExportError(
        f"{path}: holds no instance of {size[0]} x {size[1]} px; export from the slide that was screened."
    )


def _datasets(path: Path, pydicom: Any) -> Iterator[Any]:
    """The slide's instances: the file itself first, then those beside it of the same series."""
    beside = path if path.is_dir() else path.parent
    files = [] if path.is_dir() else [path]
    series = None
    for file in chain(files, sorted(entry for entry in beside.iterdir() if entry.is_file() and entry != path)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd values in a slide's header are not for us to judge
            try:
                dataset = pydicom.dcmread(file, stop_before_pixels=True)
            except (pydicom.errors.InvalidDicomError, OSError):
                continue
            series = series or dataset.get("SeriesInstanceUID")
            if dataset.get("SeriesInstanceUID") == series:
                yield _completed(dataset)


def _identified(dataset: Any, path: Path) -> Any:
    missing = [keyword for keyword in _IDENTITY if not dataset.get(keyword)]
    if missing:
        raise ExportError(
            f"{path}: its header lacks {' and '.join(missing)}, by which annotations name their slide; use another --to."
        )
    return dataset


def _completed(dataset: Any) -> Any:
    for keyword in _TYPE_2:
        if keyword not in dataset:
            setattr(dataset, keyword, None)
    return dataset


def _groups(result: SlideResult, options: Options, highdicom: Any) -> list[Any]:
    by_class: dict[str, list[Mark]] = {}
    for mark in iter_marks(result, every_row=options.every_row):
        by_class.setdefault(mark.class_name, []).append(mark)
    used = [name for name in CLASS_NAMES if name in by_class]
    return [_group(number, name, by_class[name], result, highdicom) for number, name in enumerate(used, start=1)]


def _group(number: int, name: str, marks: Sequence[Mark], result: SlideResult, highdicom: Any) -> Any:
    concept = highdicom.sr.CodedConcept
    return highdicom.ann.AnnotationGroup(
        number=number,
        uid=_uid(result, "group", result.model, name),
        label=name,
        annotated_property_category=concept("49755003", "SCT", "Morphologically Abnormal Structure"),
        annotated_property_type=concept(name.replace(" ", "_")[:16], _CODING_SCHEME, _MEANINGS.get(name, name)),
        graphic_type="POINT",
        graphic_data=list(_coordinates(marks)[:, np.newaxis, :]),
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="wsiamf",
            family=concept("123110", "DCM", "Artificial Intelligence"),
            version=result.model,
        ),
        measurements=_measurements(marks, highdicom),
        display_color=highdicom.color.CIELabColor.from_rgb(*class_color(name)),
    )


def _coordinates(marks: Sequence[Mark]) -> NDArray[np.float64]:
    """(N, 2) column and row."""
    return np.array([(mark.x, mark.y) for mark in marks], dtype=np.float64) + _FIRST_PIXEL_CENTRE


def _measurements(marks: Sequence[Mark], highdicom: Any) -> list[Any]:
    unit = highdicom.sr.CodedConcept("1", "UCUM", "no units")
    columns: Mapping[str, tuple[str, list[float | None]]] = {
        "P_ATYPICAL": ("Probability of atypical", [mark.p_atypical for mark in marks]),
        "SCORE": ("Score of the detector", [mark.score for mark in marks]),
    }
    return [
        highdicom.ann.Measurements(
            name=highdicom.sr.CodedConcept(code, _CODING_SCHEME, meaning),
            values=np.array([np.nan if value is None else value for value in values], dtype=np.float32),
            unit=unit,
        )
        for code, (meaning, values) in columns.items()
        if any(value is not None for value in values)
    ]


def _uid(result: SlideResult, *parts: str) -> str:
    """A UID that equal results have again (a UUID as DICOM writes it, PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(NAMESPACE, '/'.join(('dicom', result.fingerprint, *parts))).int}"


def _fix_times(annotations: Any, source: Any) -> None:
    """The slide's dates in place of now, so that equal results are equal files."""
    date = source.get("ContentDate") or source.get("StudyDate") or "19000101"
    time = source.get("ContentTime") or source.get("StudyTime") or "000000"
    annotations.ContentDate = annotations.InstanceCreationDate = date
    annotations.ContentTime = annotations.InstanceCreationTime = time
    for equipment in annotations.get("ContributingEquipmentSequence", []):
        if equipment.get("ManufacturerModelName") == "highdicom":
            equipment.ContributionDateTime = date


FORMAT: Final = Format(name="dicom-ann", suffix=".ann.dcm", write=_write)
