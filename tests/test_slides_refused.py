"""What is no slide, or a damaged or other kind of one: one line each that says what it is and what to do."""

from __future__ import annotations

import builtins
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.coordinate_slide import coordinate_coded
from tests.made_dicom import CT_CLASS, JPEG_LS_LOSSLESS, write_dicom_slide
from tests.made_ome import halves, write_ome_tiff, write_ome_zarr, write_pages_ome_tiff
from tests.made_vendor_slides import write_mrxs
from wsiamf.errors import MppError, SlideReadError, UnsupportedSlideError
from wsiamf.slides import open_slide, read_fingerprint, slide_facts

PIXELS = coordinate_coded(150, 100)


def refusal(path: Path) -> str:
    """What is said of a slide that does not open: one line that names it."""
    with pytest.raises(UnsupportedSlideError) as caught:
        open_slide(path)
    said = str(caught.value)
    assert path.name in said
    assert "\n" not in said
    return said


class TestVendorsFilesAlone:
    """A scanner's thumbnail is a picture that would open as a slide by itself."""

    def test_an_mrxs_without_its_folder(self, tmp_path: Path) -> None:
        path = write_mrxs(tmp_path / "case.mrxs", halves(PIXELS, 2))
        Image.fromarray(PIXELS).save(path, format="JPEG", dpi=(101_600, 101_600))
        with open_slide(path) as slide:
            assert slide.vendor == "mirax"
        (tmp_path / "case").rename(tmp_path / "elsewhere")
        assert "its folder case is missing; copy it to beside the file" in refusal(path)
        (tmp_path / "case").mkdir()
        assert "a JPEG picture with a scanner vendor's suffix" in refusal(path)

    def test_a_picture_with_a_vendors_suffix(self, tmp_path: Path) -> None:
        Image.fromarray(PIXELS).save(tmp_path / "case.svs", format="PNG", dpi=(101_600, 101_600))
        assert "a PNG picture with a scanner vendor's suffix" in refusal(tmp_path / "case.svs")


class TestFolders:
    def test_without_a_slide(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("none")
        (tmp_path / "sub").mkdir()
        assert "a folder, not a slide" in refusal(tmp_path)
        with pytest.raises(UnsupportedSlideError, match="a folder, not a slide"):
            read_fingerprint(tmp_path)

    def test_of_two_dicom_series_lists_both(self, tmp_path: Path) -> None:
        write_dicom_slide(tmp_path, halves(PIXELS, 2), series=1, prefix="first")
        write_dicom_slide(tmp_path, (PIXELS,), series=2, prefix="second")
        said = refusal(tmp_path)
        assert "holds 2 DICOM series of slides; name one file of the one you mean" in said
        assert "first_0.dcm (2 files, series" in said
        assert "second_0.dcm (1 files, series" in said
        with open_slide(tmp_path / "second_0.dcm") as slide:
            assert slide.level_count == 1

    def test_of_another_modality(self, tmp_path: Path) -> None:
        (file,) = write_dicom_slide(tmp_path, (PIXELS,), sop_class=CT_CLASS)
        assert "holds 1 DICOM files, none of them a whole-slide image" in refusal(tmp_path)
        assert "a DICOM file, but no whole-slide image" in refusal(file)

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.svs")
        assert "is not a plain file" in refusal(tmp_path / "pipe.svs")


class TestDicom:
    def test_a_folder_is_the_slide_of_any_of_its_files(self, tmp_path: Path) -> None:
        first, second = write_dicom_slide(tmp_path / "series", halves(PIXELS, 2))
        with open_slide(first) as file, open_slide(tmp_path / "series") as folder:
            assert file.fingerprint == folder.fingerprint
            assert folder.name == "series"
            assert np.array_equal(folder.read_region((0, 0), 0, (150, 100)), PIXELS)
        assert len({read_fingerprint(path) for path in (first, second, tmp_path / "series")} | {file.fingerprint}) == 1

    def test_the_extra_is_named_where_it_is_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_dicom_slide(tmp_path / "series", (PIXELS,), syntax=JPEG_LS_LOSSLESS)
        real = builtins.__import__

        def without(name: str, *rest: Any, **more: Any) -> Any:
            if name == "wsidicom":
                raise ImportError(name)
            return real(name, *rest, **more)

        monkeypatch.setattr(builtins, "__import__", without)
        said = refusal(tmp_path / "series")
        assert "Unsupported transfer syntax" in said
        assert "run pip install 'wsiamf[dicom]'" in said

    def test_what_neither_library_reads(self, shared_data: Path) -> None:
        """A file without the attribute that says what it shows."""
        said = refusal(shared_data / "slides" / "small_dicom.dcm")
        assert "OpenSlide cannot open it: Reading" in said
        assert "wsidicom neither: Level files not found" in said

    def test_a_damaged_frame_fails_where_it_is_read(self, tmp_path: Path) -> None:
        (file,) = write_dicom_slide(tmp_path / "series", (PIXELS,), syntax=JPEG_LS_LOSSLESS)
        data = bytearray(file.read_bytes())
        start = data.rindex(b"\xff\xd8\xff")
        data[start : start + 60] = bytes(60)
        file.write_bytes(data)
        with open_slide(file) as slide:
            for _ in range(2):
                with pytest.raises(SlideReadError, match="cannot be decoded"):
                    slide.read_region((140, 90), 0, (10, 10))
            assert np.array_equal(slide.read_region((3, 4), 0, (30, 20)), PIXELS[4:24, 3:33])


class TestOmeZarr:
    @pytest.mark.parametrize(
        ("metadata", "said"),
        [
            ({"multiscales": []}, "`multiscales` are missing or malformed"),
            ({"multiscales": [{"datasets": [{"path": "0"}]}]}, "missing or malformed (no 'axes')"),
            ({"multiscales": [{"axes": ["y", "x", "c"], "datasets": []}]}, "list no dataset"),
            ({"multiscales": [{"axes": ["y", "x", "q"], "datasets": [{"path": "0"}]}]}, "has the axes y, x, q"),
            ({"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "0"}]}]}, "3 dimensions for 2 axes"),
            ({"multiscales": [{"axes": ["y", "x", "c"], "datasets": [{"path": "9"}]}]}, "its level '9' is missing"),
            (
                {"multiscales": [{"axes": ["y", "x", "z"], "datasets": [{"path": "0"}]}]},
                "a stack of 3 planes and 1 times",
            ),
            ({"multiscales": "x"}, "missing or malformed"),
            ({"plate": {}}, "a plate of many wells"),
            ({"omero": {"channels": [{"color": c} for c in ("0000FF", "00FF00", "FF0000")]}}, "colours 0000FF, 00FF00"),
        ],
    )
    def test_metadata(self, tmp_path: Path, metadata: Mapping[str, Any], said: str) -> None:
        assert said in refusal(write_ome_zarr(tmp_path / "a.zarr", (PIXELS,), axes="yxc", metadata=metadata))

    def test_colours_of_rgb_are_no_obstacle(self, tmp_path: Path) -> None:
        channels = [{"color": colour} for colour in ("FF0000", "00ff00", "0000FF")]
        with open_slide(
            write_ome_zarr(tmp_path / "a.zarr", (PIXELS,), metadata={"omero": {"channels": channels}})
        ) as slide:
            assert np.array_equal(slide.read_region((0, 0), 0, (150, 100)), PIXELS)

    def test_without_multiscales(self, tmp_path: Path) -> None:
        zarr.open_group(tmp_path / "a.zarr", mode="w")
        assert "no OME-Zarr picture" in refusal(tmp_path / "a.zarr")

    def test_an_array_by_itself(self, tmp_path: Path) -> None:
        zarr.create_array(tmp_path / "a.zarr", shape=(3, 3), dtype="u1")
        assert "no OME-Zarr slide that can be opened" in refusal(tmp_path / "a.zarr")

    def test_metadata_cut_short(self, tmp_path: Path) -> None:
        path = write_ome_zarr(tmp_path / "a.zarr", (PIXELS,), version="0.5", axes="cyx")
        text = (path / "zarr.json").read_text()
        (path / "zarr.json").write_text(text[: len(text) // 2])
        assert "no OME-Zarr slide that can be opened" in refusal(path)

    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    def test_an_unknown_codec(self, tmp_path: Path, version: str) -> None:
        path = write_ome_zarr(tmp_path / "a.zarr", (PIXELS,), version=version, axes="cyx")
        file = path / "0" / ("zarr.json" if version == "0.5" else ".zarray")
        described = json.loads(file.read_text())
        described |= {"codecs": [{"name": "nonesuch"}]} if version == "0.5" else {"compressor": {"id": "nonesuch"}}
        file.write_text(json.dumps(described))
        assert "nonesuch" in refusal(path)

    def test_samples_of_16_bits(self, tmp_path: Path) -> None:
        path = write_ome_zarr(tmp_path / "a.zarr", (PIXELS.astype(np.uint16),))
        assert "samples of 16 bits (uint16)" in refusal(path)

    @pytest.mark.parametrize("channels", [2, 4, 5])
    def test_channels(self, tmp_path: Path, channels: int) -> None:
        pixels = np.zeros((40, 50, channels), np.uint8)
        assert f"{channels} channels, where a stained slide has 3" in refusal(
            write_ome_zarr(tmp_path / "a.zarr", (pixels,))
        )

    def test_a_chunk_that_no_memory_would_hold(self, tmp_path: Path) -> None:
        """Its array is small; a decoder would make room for all of the chunk."""
        path = write_ome_zarr(tmp_path / "a.zarr", (PIXELS,), axes="yxc")
        for side, opens in ((8192, True), (16384, False)):
            metadata = json.loads((path / "0" / ".zarray").read_text())
            (path / "0" / ".zarray").write_text(json.dumps(metadata | {"chunks": [side, side, 3]}))
            if opens:
                open_slide(path).close()
            else:
                assert "chunks of 16384 x 16384 x 3 samples (768 MiB each)" in refusal(path)

    def test_a_truncated_chunk_fails_where_it_is_read(self, tmp_path: Path) -> None:
        path = write_ome_zarr(tmp_path / "a.zarr", (PIXELS,), axes="yxc")
        chunk = path / "0" / "1.2.0"
        chunk.write_bytes(chunk.read_bytes()[:20])
        with open_slide(path) as slide:
            for _ in range(2):
                with pytest.raises(SlideReadError, match=r"chunk \(2, 1\) of 0 cannot be read"):
                    slide.read_region((140, 90), 0, (10, 10))
            assert np.array_equal(slide.read_region((3, 4), 0, (30, 20)), PIXELS[4:24, 3:33])

    @pytest.mark.parametrize("fill", [0, 255])
    def test_a_chunk_that_is_left_out_shows_the_fill_value(self, tmp_path: Path, fill: int) -> None:
        path = write_ome_zarr(tmp_path / "a.zarr", (PIXELS,), axes="yxc", fill_value=fill)
        (path / "0" / "0.1.0").unlink()
        with open_slide(path) as slide:
            assert (slide.read_region((64, 0), 0, (64, 64)) == fill).all()
            tiles = slide.tiles(0)
            assert tiles is not None
            tile = tiles.decode(1, 0)
        assert tile is not None
        assert (tile == fill).all()

    def test_the_first_series_of_bioformats2raw(self, tmp_path: Path) -> None:
        root = tmp_path / "a.zarr"
        write_ome_zarr(root / "0", (PIXELS,))
        (root / ".zgroup").write_text('{"zarr_format": 2}')
        (root / ".zattrs").write_text('{"bioformats2raw.layout": 3}')
        with open_slide(root) as slide:
            assert np.array_equal(slide.read_region((0, 0), 0, (150, 100)), PIXELS)

    def test_pixels_that_are_not_square(self, tmp_path: Path) -> None:
        with open_slide(write_ome_zarr(tmp_path / "a.zarr", (PIXELS,), scale=(0.2, 0.25))) as slide:
            with pytest.raises(MppError, match=r"not square.*ngff.scale: 0\.2 x 0\.25 um/px"):
                _ = slide.mpp
            assert slide_facts(slide)["mpp_status"] == "anisotropic"

    def test_names_of_axes_alone_state_no_resolution(self, tmp_path: Path) -> None:
        described = {"multiscales": [{"version": "0.3", "axes": list("yxc"), "datasets": [{"path": "0"}]}]}
        with open_slide(write_ome_zarr(tmp_path / "a.zarr", (PIXELS,), axes="yxc", metadata=described)) as slide:
            assert slide.mpp_source == "none"
        with open_slide(write_ome_zarr(tmp_path / "b.zarr", (PIXELS,), unit=None)) as slide:
            assert slide.mpp_source == "none"

    def test_a_large_store_is_not_read_whole(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_ome_zarr(tmp_path / "a.zarr", (PIXELS,), axes="yxc", chunk=16)
        monkeypatch.setattr("wsiamf.slides.parts._MOST_CHUNKS_READ", 8)
        first = read_fingerprint(path)
        read: list[Path] = []

        def note(parts: Sequence[Path]) -> str:
            read.extend(parts)
            return ""

        monkeypatch.setattr("wsiamf.slides.parts.fingerprint", note)
        read_fingerprint(path)
        assert len([part for part in read if not part.name.startswith(".z")]) <= 8
        monkeypatch.undo()
        shutil.move(path, tmp_path / "moved.zarr")
        (tmp_path / "moved.zarr" / "0" / "0.1.0").write_bytes(b"other length")
        assert read_fingerprint(tmp_path / "moved.zarr") != first


class TestOmeTiff:
    def test_samples_of_16_bits(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((64, 64, 3), np.uint16), photometric="rgb", tile=(64, 64))
        assert "samples of 16 bits" in refusal(tmp_path / "a.ome.tif")

    def test_five_channels(self, tmp_path: Path) -> None:
        path = write_pages_ome_tiff(tmp_path / "a.ome.tif", np.zeros((5, 64, 64), np.uint8), names="ABCDE")
        assert "5 channels (A, B, C, D, E), where a stained slide has 3" in refusal(path)

    def test_three_channels_that_nothing_calls_rgb(self, tmp_path: Path) -> None:
        names = ("DAPI", "FITC", "")
        path = write_pages_ome_tiff(tmp_path / "a.ome.tif", np.zeros((3, 64, 64), np.uint8), names=names)
        assert "three channels (DAPI, FITC, without name) on pages of their own" in refusal(path)

    def test_a_stack(self, tmp_path: Path) -> None:
        path = write_pages_ome_tiff(tmp_path / "a.ome.tif", np.zeros((3, 64, 64), np.uint8), sizes={"SizeZ": 7})
        assert "a stack of 7 planes and 1 times" in refusal(path)

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ("</Pixels>", "", "mismatched tag"),
            ("<OME ", "<!DOCTYPE OME [<!ENTITY a 'b'>]><OME ", "declares a document type"),
            ('SizeX="150"', 'SizeX="x"', "SizeX is 'x'"),
            ('SizeX="150"', 'SizeX="151"', "150 x 100 px, not 151 x 100"),
            ('IFD="1"', 'IFD="7"', "page 7 of channel 1 is not in the file"),
            ('IFD="1"', 'IFD="one"', "'one' is no whole number"),
        ],
    )
    def test_xml_that_cannot_be_used(self, tmp_path: Path, old: str, new: str, said: str) -> None:
        path = write_pages_ome_tiff(tmp_path / "a.ome.tif", np.moveaxis(PIXELS, 2, 0))
        with tifffile.TiffFile(path) as tiff:
            page: Any = tiff.pages[0]
            text = page.description
        assert old in text
        tifffile.tiffcomment(path, text.replace(old, new).encode())
        assert said in refusal(path)

    def test_label_and_macro_are_left_out(self, tmp_path: Path) -> None:
        path = tmp_path / "a.ome.tif"
        with tifffile.TiffWriter(path, ome=True) as writer:
            writer.write(np.zeros((40, 30, 3), np.uint8), photometric="rgb", metadata={"axes": "YXS", "Name": "label"})
            stated = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
            writer.write(PIXELS, photometric="rgb", metadata={"axes": "YXS", "Name": "slide"} | stated)
        with open_slide(path) as slide:
            assert slide.dimensions == (150, 100)
            assert np.array_equal(slide.read_region((0, 0), 0, (150, 100)), PIXELS)

    def test_two_scanned_regions(self, tmp_path: Path) -> None:
        path = tmp_path / "a.ome.tif"
        with tifffile.TiffWriter(path, ome=True) as writer:
            for name in ("left", "right"):
                stated = {"axes": "YXS", "Name": name, "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
                writer.write(PIXELS, photometric="rgb", metadata=stated)
        assert "holds 2 pictures of one resolution (left, right)" in refusal(path)

    def test_more_planes_than_any_slide_has(self, tmp_path: Path) -> None:
        """A line of XML states thousands of planes."""
        path = write_ome_tiff(tmp_path / "a.ome.tif", (PIXELS,))
        with tifffile.TiffFile(path) as tiff:
            xml = str(tiff.ome_metadata)
        planes = "".join(f'<TiffData FirstC="{k * 10_000}" PlaneCount="10000"/>' for k in range(11))
        tifffile.tiffcomment(path, xml.replace("</Pixels>", f"{planes}</Pixels>").encode())
        assert "it describes more than 100,000 planes" in refusal(path)

    def test_two_regions_of_one_size_and_no_stated_resolution(self, tmp_path: Path) -> None:
        path = tmp_path / "a.ome.tif"
        with tifffile.TiffWriter(path, ome=True) as writer:
            for name, pixels in (("left", PIXELS), ("right", PIXELS), ("label", PIXELS[:40, :40])):
                writer.write(pixels, photometric="rgb", metadata={"axes": "YXS", "Name": name})
        assert "holds 2 pictures of one size (left, right)" in refusal(path)

    def test_a_copy_that_broke_off(self, tmp_path: Path) -> None:
        """At the end stands the XML, without which it would be a plain TIFF of the finest level."""
        whole = write_ome_tiff(tmp_path / "whole.ome.tif", halves(PIXELS, 2)).read_bytes()
        path = tmp_path / "a.ome.tif"
        for lost in (1, 200, len(whole) // 2):
            path.write_bytes(whole[:-lost])
            assert "incomplete" in refusal(path)

    @pytest.mark.parametrize(
        ("size", "unit", "mpp"), [(0.25, "mm", None), (9.8425e-6, "in", 0.25), (1.0, "pixel", None)]
    )
    def test_units_of_physical_size(self, tmp_path: Path, size: float, unit: str, mpp: float | None) -> None:
        with open_slide(write_ome_tiff(tmp_path / "a.ome.tif", (PIXELS,), mpp=(size, size), unit=unit)) as slide:
            if mpp is None:
                assert slide.mpp_source == "none"
            else:
                assert slide.mpp == pytest.approx(mpp, rel=1e-4)
                assert slide.mpp_source == "ome.PhysicalSizeX"


class TestPictures:
    def test_16_bit_png(self, tmp_path: Path) -> None:
        Image.fromarray(np.zeros((20, 20), np.uint16)).save(tmp_path / "a.png")
        assert "samples of 16 bits or more" in refusal(tmp_path / "a.png")

    def test_too_many_pixels_are_refused_before_they_are_decoded(self, tmp_path: Path) -> None:
        Image.new("1", (9000, 9000)).save(tmp_path / "a.png")
        said = refusal(tmp_path / "a.png")
        assert "81,000,000 pixels, more than the 67,108,864" in said
        assert "vips tiffsave" in said

    @pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
    def test_cut_short(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(PIXELS).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert "not a readable" in refusal(path)

    def test_an_animation(self, tmp_path: Path) -> None:
        frames = [Image.fromarray(np.full((20, 20, 3), grey, np.uint8)) for grey in (1, 2)]
        frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
        assert "holds 2 pictures, not one slide" in refusal(tmp_path / "a.png")

    def test_an_exif_orientation_is_not_applied_and_said(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
        with open_slide(tmp_path / "a.png") as slide:
            assert slide.dimensions == (150, 100)
            assert np.array_equal(slide.read_region((0, 0), 0, (150, 100)), PIXELS)
        assert "a.png: its EXIF orientation is 6, which is not applied" in caplog.text

    def test_transparency_is_white(self, tmp_path: Path) -> None:
        rgba = np.dstack([PIXELS, np.zeros(PIXELS.shape[:2], np.uint8)])
        Image.fromarray(rgba).save(tmp_path / "a.png", pnginfo=PngInfo())
        with open_slide(tmp_path / "a.png") as slide:
            assert (slide.read_region((0, 0), 0, (150, 100)) == 255).all()

    @pytest.mark.parametrize(
        ("suffix", "dpi", "source"),
        [("png", 101_600, "png.pHYs"), ("bmp", 101_600, "bmp.resolution"), ("png", 72, "none"), ("jpg", 96, "none")],
    )
    def test_resolution(self, tmp_path: Path, suffix: str, dpi: int, source: str) -> None:
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(PIXELS).save(path, dpi=(dpi, dpi))
        with open_slide(path) as slide:
            assert slide.mpp_source == source
            if source != "none":
                assert slide.mpp == pytest.approx(0.25, rel=1e-4)

    def test_resolution_by_exif_alone(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x011A] = exif[0x011B] = 40_000.0
        exif[0x0128] = 3  # per cm
        Image.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=exif)
        with open_slide(tmp_path / "a.jpg") as slide:
            assert slide.mpp == pytest.approx(0.25)
            assert slide.mpp_source == "exif.resolution"
