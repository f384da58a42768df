"""Which series a DICOM file belongs to, held to pydicom's reading, where it names others too."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from tests.coordinate_slide import coordinate_coded
from tests.made_dicom import CT_CLASS, SLIDE_CLASS, write_dicom_slide
from wsiamf.errors import SlideReadError, UnsupportedSlideError
from wsiamf.slides import open_slide, read_fingerprint
from wsiamf.slides.dicom_head import slide_series
from wsiamf.slides.parts import dicom_series, dicom_slides, slide_fingerprint

OTHER = "1.2.3.4.5"


def refer(path: Path, *, undefined: bool = False, series: str = OTHER) -> Path:
    """Make a slide name another series before its own, as what it refers to."""
    dataset = pydicom.dcmread(path)
    reference, instance = Dataset(), Dataset()
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = SLIDE_CLASS, f"{OTHER}.6"
    reference.SeriesInstanceUID = series
    reference.ReferencedInstanceSequence = Sequence([instance])
    dataset.ReferencedSeriesSequence = Sequence([reference])
    for holder, key in ((dataset, "ReferencedSeriesSequence"), (reference, "ReferencedInstanceSequence")):
        holder[key].is_undefined_length = undefined
        for item in holder[key].value:
            item.is_undefined_length_sequence_item = undefined
    dataset.save_as(path)
    return path


def slide(folder: Path, number: int) -> Path:
    return write_dicom_slide(folder, [coordinate_coded(128, 64 * number)], series=number)[0]


def test_what_is_no_file_is_of_no_series(tmp_path: Path) -> None:
    (tmp_path / "folder.dcm").mkdir()
    assert dicom_series(tmp_path / "folder.dcm") is None
    os.mkfifo(tmp_path / "pipe.dcm")
    with (tmp_path / "pipe.dcm").open("r+b", buffering=0) as pipe:  # a reading gets what a writer sends
        pipe.write(written(SLIDE_CLASS, ExplicitVRLittleEndian).getvalue().ljust(1 << 16, b"\0"))
        assert dicom_series(tmp_path / "pipe.dcm") is None


@pytest.mark.parametrize("undefined", [False, True])
def test_a_series_that_is_referred_to_is_not_the_slides_own(tmp_path: Path, undefined: bool) -> None:
    for number in (1, 2):
        path = refer(slide(tmp_path / str(number), number), undefined=undefined)
        own = str(pydicom.dcmread(path).SeriesInstanceUID)
        assert dicom_series(path) == own
        assert dicom_slides(path.parent) == {own: [path]}
    prints = set()
    for place in (tmp_path / "1", tmp_path / "2"):
        with open_slide(place) as opened:
            assert opened.fingerprint == read_fingerprint(place)
            prints.add(opened.fingerprint)
    assert len(prints) == 2


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_every_encoding_of_the_head(syntax: str) -> None:
    assert slide_series(written(SLIDE_CLASS, syntax)) == "1.2.840.1"


def test_other_objects_and_broken_files_belong_to_no_series() -> None:
    assert slide_series(written(CT_CLASS, ExplicitVRLittleEndian)) is None
    assert slide_series(written(SLIDE_CLASS, ExplicitVRBigEndian)) is None  # retired, and no slide's
    assert slide_series(io.BytesIO(b"no DICOM")) is None
    whole = written(SLIDE_CLASS, ExplicitVRLittleEndian).getvalue()
    series_at = whole.index(b"1.2.840.1\0")
    assert all(slide_series(io.BytesIO(whole[:n])) is None for n in range(0, series_at, 7))


@pytest.mark.parametrize(
    ("syntax", "name"),
    [(DeflatedExplicitVRLittleEndian, "Deflated Explicit VR Little Endian"), (ExplicitVRBigEndian, "Big Endian")],
)
def test_a_transfer_syntax_that_hides_what_a_file_is_is_named(tmp_path: Path, syntax: str, name: str) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(written(SLIDE_CLASS, syntax).getvalue())
    for named in (path, tmp_path):
        with pytest.raises(UnsupportedSlideError, match=rf"a\.dcm: a DICOM file in .*{name}.*dcmconv"):
            open_slide(named)


def test_a_series_without_files_has_no_fingerprint(tmp_path: Path) -> None:
    slide(tmp_path, 1)
    with pytest.raises(SlideReadError, match="none of the files of its slide"):
        slide_fingerprint(tmp_path, "dicom", {"dicom.SeriesInstanceUID": OTHER})


def written(sop_class: str, syntax: str) -> io.BytesIO:
    """An object whose head holds sequences, private ones too, in and after which series are named."""
    dataset, item, inner = Dataset(), Dataset(), Dataset()
    inner.SeriesInstanceUID = OTHER
    item.ReferencedSeriesSequence = Sequence([inner, inner])
    item["ReferencedSeriesSequence"].is_undefined_length = True
    dataset.SOPClassUID = sop_class
    dataset.ReferencedSeriesSequence = Sequence([item])
    dataset["ReferencedSeriesSequence"].is_undefined_length = True
    dataset.add_new(0x00090010, "LO", "made")
    dataset.add_new(0x00091001, "UN", b"\x20\x00\x0e\x00UI\x08\x001.2.9.9\0")
    dataset.SeriesInstanceUID = "1.2.840.1"
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.840.2")
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    return stream
