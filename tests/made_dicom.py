"""DICOM slides (VL Whole Slide Microscopy) of known pixels: one series, a file a level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID

SLIDE_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"
CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
UNCOMPRESSED = "1.2.840.10008.1.2.1"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
_ROOT = "1.2.826.0.1.3680043.10.1234"

Encode = Callable[[NDArray[np.uint8]], bytes | bytearray]
_ENCODERS: dict[str, Encode] = {
    UNCOMPRESSED: lambda tile: tile.tobytes(),
    JPEG_2000_LOSSLESS: lambda tile: imagecodecs.jpeg2k_encode(tile, codecformat="j2k", reversible=True, mct=False),
    JPEG_LS_LOSSLESS: imagecodecs.jpegls_encode,
}


def write_dicom_slide(
    folder: Path,
    levels: Sequence[NDArray[np.uint8]],
    *,
    mpp: float = 0.25,
    tile: int = 64,
    syntax: str = UNCOMPRESSED,
    series: int = 1,
    prefix: str = "level",
    sop_class: str = SLIDE_CLASS,
) -> list[Path]:
    """Write a series, the levels finest first.

    Args:
        folder: Where the files go.
        levels: Pixels of each level, (height, width, 3).
        mpp: um per level-0 px.
        tile: Side of a tile in px.
        syntax: UID of the transfer syntax.
        series: Number that tells series apart.
        prefix: Of the file names.
        sop_class: UID of what the files say they hold.

    Returns:
        The files, one a level.
    """
    folder.mkdir(parents=True, exist_ok=True)
    height, width = levels[0].shape[:2]
    paths = []
    for number, pixels in enumerate(levels):
        path = folder / f"{prefix}_{number}.dcm"
        dataset = _dataset(path, pixels, tile, syntax, sop_class)
        _identify(dataset, series, number)
        _place(dataset, (width * mpp / 1000, height * mpp / 1000), mpp * width / pixels.shape[1] / 1000)
        _image_type(dataset, "NONE" if number == 0 else "RESAMPLED")
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _dataset(path: Path, pixels: NDArray[np.uint8], tile: int, syntax: str, sop_class: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.TransferSyntaxUID = UID(syntax)
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = UID(sop_class)
    height, width = pixels.shape[:2]
    frames = [_ENCODERS[syntax](frame) for frame in _frames(pixels, tile)]
    if syntax == UNCOMPRESSED:
        joined = b"".join(map(bytes, frames))
        dataset.PixelData = joined + b"\0" * (len(joined) % 2)
    else:
        dataset.PixelData = encapsulate([bytes(frame) for frame in frames])
        dataset["PixelData"].is_undefined_length = True
    dataset.NumberOfFrames = len(frames)
    dataset.Rows = dataset.Columns = tile
    dataset.TotalPixelMatrixColumns, dataset.TotalPixelMatrixRows = width, height
    dataset.TotalPixelMatrixFocalPlanes = 1
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.LossyImageCompression = "00"
    dataset.DimensionOrganizationType = "TILED_FULL"
    return dataset


def _frames(pixels: NDArray[np.uint8], tile: int) -> list[NDArray[np.uint8]]:
    height, width = pixels.shape[:2]
    rows, columns = -(-height // tile), -(-width // tile)
    whole = np.full((rows * tile, columns * tile, 3), 255, np.uint8)
    whole[:height, :width] = pixels
    return [
        np.ascontiguousarray(whole[row * tile : (row + 1) * tile, column * tile : (column + 1) * tile])
        for row in range(rows)
        for column in range(columns)
    ]


def _identify(dataset: FileDataset, series: int, number: int) -> None:
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"{_ROOT}.3.{series}.{number + 1}")
    dataset.StudyInstanceUID = UID(f"{_ROOT}.1.{series}")
    dataset.SeriesInstanceUID = UID(f"{_ROOT}.2.{series}")
    dataset.FrameOfReferenceUID = UID(f"{_ROOT}.4.{series}")
    dataset.PyramidUID = UID(f"{_ROOT}.5.{series}")
    dataset.DimensionOrganizationSequence = Items([Dataset()])
    dataset.DimensionOrganizationSequence[0].DimensionOrganizationUID = UID(f"{_ROOT}.6.{series}")
    dataset.DimensionIndexSequence = Items([])
    dataset.Modality = "SM"
    dataset.SeriesNumber, dataset.InstanceNumber = series, number + 1
    dataset.PatientName = dataset.PatientID = dataset.StudyID = dataset.AccessionNumber = "made"
    dataset.PatientBirthDate = dataset.PatientSex = dataset.ReferringPhysicianName = None
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = "20250101"
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = "000000"
    dataset.AcquisitionDateTime = "20250101000000"
    dataset.Manufacturer = dataset.ManufacturerModelName = dataset.SoftwareVersions = "made"
    dataset.DeviceSerialNumber = dataset.ContainerIdentifier = "made"
    dataset.FocusMethod, dataset.ExtendedDepthOfField = "AUTO", "NO"
    dataset.BurnedInAnnotation = dataset.SpecimenLabelInImage = "NO"
    dataset.VolumetricProperties = "VOLUME"
    dataset.PositionReferenceIndicator = "SLIDE_CORNER"


def _place(dataset: FileDataset, size_mm: tuple[float, float], spacing_mm: float) -> None:
    dataset.ImagedVolumeWidth, dataset.ImagedVolumeHeight = size_mm
    dataset.ImagedVolumeDepth = 1.0
    dataset.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = 20.0, 40.0
    dataset.TotalPixelMatrixOriginSequence = Items([origin])
    measures = Dataset()
    measures.PixelSpacing = [spacing_mm, spacing_mm]
    measures.SliceThickness, measures.SpacingBetweenSlices = 1.0, 1.0
    groups = Dataset()
    groups.PixelMeasuresSequence = Items([measures])
    dataset.SharedFunctionalGroupsSequence = Items([groups])
    path = Dataset()
    path.OpticalPathIdentifier = "1"
    path.IlluminationColorCodeSequence = Items([_code("11744", "SCT", "Brightfield")])
    path.IlluminationTypeCodeSequence = Items([_code("111744", "DCM", "Brightfield illumination")])
    path.ICCProfile = b"\0" * 8
    path.ObjectiveLensPower = 40
    dataset.OpticalPathSequence = Items([path])
    dataset.NumberOfOpticalPaths = 1


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _image_type(dataset: FileDataset, resampled: str) -> None:
    flavor = ["ORIGINAL" if resampled == "NONE" else "DERIVED", "PRIMARY", "VOLUME", resampled]
    dataset.ImageType = flavor
    frame = Dataset()
    frame.FrameType = flavor
    dataset.SharedFunctionalGroupsSequence[0].WholeSlideMicroscopyImageFrameTypeSequence = Items([frame])
