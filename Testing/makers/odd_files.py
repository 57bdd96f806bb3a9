"""CT files as hospitals and tools make them: each condition of docs/formats/input.md, made from one slab."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import SimpleITK as sitk
from dicom_files import MR_IMAGE, write_colour, write_enhanced, write_series
from image_files import truncate, write_nifti, write_with_itk
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

STEP_MM, PIXEL_MM = 2.0, 1.6
PLACE = (-190.0, -200.0, 33.0)
SPACING = (PIXEL_MM, PIXEL_MM, STEP_MM)
CORONAL = (1, 0, 0, 0, 0, -1)

READ, SAID, REFUSED = "read", "read and said", "refused"


@dataclass(frozen=True)
class Condition:
    """One way in which a CT comes.

    Attributes:
        make: Writes it into a folder from a (k, j, i) int16 slab of HU, and returns the path to read.
        outcome: `READ`, `SAID` or `REFUSED`.
        says: A part of the note or the refusal; "" where nothing is said.
        options: Of `read_volume`.
        flips: Which of the k, j and i axes are stored the other way round, where the header does not say so.
        precise: Whether the numbers that are read are the slab's to the bit.
    """

    make: Callable[[Path, np.ndarray], Path]
    outcome: str = READ
    says: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    flips: tuple[bool, bool, bool] = (False, False, False)
    precise: bool = True


def series(folder: Path, hu: np.ndarray, heights: np.ndarray | None = None, **tags: Any) -> Path:
    """A plain DICOM series of the slab."""
    heights = PLACE[2] + STEP_MM * np.arange(len(hu)) if heights is None else heights
    positions = tags.pop("positions", np.column_stack([np.full((len(hu), 2), PLACE[:2]), heights]))
    tags.setdefault("PixelSpacing", [PIXEL_MM, PIXEL_MM])
    write_series(folder, hu, positions=positions, **tags)
    return folder


def nifti(path: Path, hu: np.ndarray, **fields: Any) -> Path:
    """A NIfTI of the slab at the series' place."""
    affine = np.diag([-PIXEL_MM, -PIXEL_MM, STEP_MM, 1.0])
    affine[:3, 3] = (-PLACE[0], -PLACE[1], PLACE[2])
    return write_nifti(path, hu, fields.pop("affine", affine), **fields)


def _each(change: Callable[[Path], None]) -> Callable[[Path, np.ndarray], Path]:
    def make(folder: Path, hu: np.ndarray) -> Path:
        for path in list(series(folder, hu).iterdir()):
            change(path)
        return folder

    return make


def _header(change: Callable[[pydicom.Dataset, int], None]) -> Callable[[Path, np.ndarray], Path]:
    def make(folder: Path, hu: np.ndarray) -> Path:
        for number, path in enumerate(sorted(series(folder, hu, shuffle=False).iterdir())):
            header = pydicom.dcmread(path)
            change(header, number)
            header.save_as(path)
        return folder

    return make


def _tags(**tags: Any) -> Callable[[Path, np.ndarray], Path]:
    return lambda folder, hu: series(folder, hu, **tags)


def _bare(path: Path, length: bytes = b"") -> None:
    header = pydicom.dcmread(path)
    header.remove_private_tags()
    del header.file_meta
    header.preamble = None
    pydicom.dcmwrite(path, header, enforce_file_format=False, implicit_vr=True, little_endian=True)
    path.write_bytes(length + path.read_bytes())


def _rewritten(syntax: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        header = pydicom.dcmread(path)
        header.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            header.PixelData = np.frombuffer(header.PixelData, "<u2").astype(">u2").tobytes()
        little, implicit = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
        pydicom.dcmwrite(path, header, little_endian=little, implicit_vr=implicit)

    return change


def _rle(path: Path) -> None:
    header = pydicom.dcmread(path)
    header.compress(RLELossless)
    header.save_as(path)


def _by_itk(compressor: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        header = pydicom.dcmread(path)
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.SetImageIO("GDCMImageIO")
        image = reader.Execute()
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.KeepOriginalImageUIDOn()
        writer.UseCompressionOn()
        writer.SetCompressor(compressor)
        packed = path.with_suffix(".dcm")
        writer.SetFileName(str(packed))
        for key in reader.GetMetaDataKeys():
            image.SetMetaData(key, reader.GetMetaData(key))
        writer.Execute(image)
        stored = pydicom.dcmread(packed)
        for keyword in ("SeriesInstanceUID", "SOPInstanceUID", "ImagePositionPatient", "ImageOrientationPatient"):
            setattr(stored, keyword, header[keyword].value)
        stored.PixelSpacing = header.PixelSpacing
        stored.save_as(packed)
        path.unlink()

    return change


def _jpeg_ls(path: Path) -> None:
    header = pydicom.dcmread(path)
    header.compress(JPEGLSLossless)
    header.save_as(path)


def _htj2k(path: Path) -> None:
    header = pydicom.dcmread(path)
    header.file_meta.TransferSyntaxUID = HTJ2KLossless
    header.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f" + bytes(200)])
    header["PixelData"].is_undefined_length = True
    header.save_as(path)


def _enhanced(folder: Path, hu: np.ndarray) -> Path:
    write_enhanced(folder / "enhanced.dcm", hu, PLACE[2] + STEP_MM * np.arange(len(hu)))
    return _at_place(folder / "enhanced.dcm")


def _at_place(path: Path) -> Path:
    header = pydicom.dcmread(path)
    header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [PIXEL_MM, PIXEL_MM]
    for group in header.PerFrameFunctionalGroupsSequence:
        plane = group.PlanePositionSequence[0]
        plane.ImagePositionPatient = [*PLACE[:2], plane.ImagePositionPatient[2]]
    header.save_as(path)
    return path


def _one_frame_a_file(folder: Path, hu: np.ndarray) -> Path:
    for number, plane in enumerate(hu):
        path = folder / f"{number}.dcm"
        write_enhanced(path, plane[None], np.array([PLACE[2] + STEP_MM * number]))
        header = pydicom.dcmread(_at_place(path))
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.9.1.{number}"
        header.save_as(path)
    return folder


def _own_rescale(folder: Path, hu: np.ndarray) -> Path:
    path = _enhanced(folder, hu)
    header = pydicom.dcmread(path)
    stored, shared = header.pixel_array.astype(np.int32), header.SharedFunctionalGroupsSequence[0]
    del shared.PixelValueTransformationSequence
    for number, group in enumerate(header.PerFrameFunctionalGroupsSequence):
        rescale = pydicom.Dataset()
        rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 1, -1024 - 100 * number, "HU"
        group.PixelValueTransformationSequence = pydicom.Sequence([rescale])
        stored[number] += 100 * number
    header.PixelData = stored.astype(np.uint16).tobytes()
    header.BitsStored, header.HighBit = 16, 15
    header.save_as(path)
    return path


def _with(folder: Path, hu: np.ndarray, more: np.ndarray, name: str = "more", **tags: Any) -> Path:
    """The series with further images of the same Series Instance UID."""
    series(folder / "ct", hu, AcquisitionNumber=1, AcquisitionTime="101500", TemporalPositionIdentifier=1)
    series(folder / name, more, **tags)
    for number, path in enumerate(sorted((folder / name).iterdir())):
        header = pydicom.dcmread(path)
        header.SOPInstanceUID = f"1.2.3.777.{number}"
        header.save_as(path)
    return folder


def _phases(**tags: Any) -> Callable[[Path, np.ndarray], Path]:
    def make(folder: Path, hu: np.ndarray) -> Path:
        return _with(folder, hu, hu + np.int16(7), **tags)

    return make


def _linked(folder: Path, hu: np.ndarray, loop: bool = False) -> Path:
    series(folder / "elsewhere", hu)
    (folder / "study").mkdir()
    (folder / "study" / "linked").symlink_to(folder / "elsewhere", target_is_directory=True)
    if loop:
        (folder / "elsewhere" / "back").symlink_to(folder / "study", target_is_directory=True)
    return folder / "study"


def _directory(folder: Path, hu: np.ndarray) -> Path:
    series(folder / "images", hu)
    (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    return folder / "DICOMDIR"


def _copied(folder: Path, hu: np.ndarray) -> Path:
    shutil.copytree(series(folder / "a", hu), folder / "b")
    return folder


def _slanted(folder: Path, hu: np.ndarray) -> Path:
    heights = STEP_MM * np.arange(len(hu))
    aside = np.tan(np.radians(15)) * heights
    return series(folder, hu, positions=np.column_stack([np.full(len(hu), PLACE[0]), PLACE[1] + aside, heights]))


def _jumped(folder: Path, hu: np.ndarray) -> Path:
    places = np.column_stack([np.full((len(hu), 2), PLACE[:2]), STEP_MM * np.arange(len(hu))])
    places[2:, 0] += 12
    return series(folder, hu, positions=places)


def _beside_a_map(folder: Path, hu: np.ndarray) -> Path:
    series(folder / "ct", hu)
    series(folder / "map", hu + np.int16(3), uid="1.2.3.4002", RescaleType="MGML")
    return folder


def filled(hu: np.ndarray, offset: int, fill: int) -> np.ndarray:
    """HU plus an offset, with padding outside the scan circle."""
    stored = np.maximum(hu, -1024) + np.int16(offset)
    rows, cols = np.ogrid[-1 : 1 : 1j * hu.shape[1], -1 : 1 : 1j * hu.shape[2]]
    stored[:, np.hypot(rows, cols) > 1] = fill
    return stored


def _tilted_affine() -> np.ndarray:
    affine = np.diag([-PIXEL_MM, -PIXEL_MM, STEP_MM, 1.0])
    affine[:3, 3] = (-PLACE[0], -PLACE[1], PLACE[2])
    affine[1, 2] = STEP_MM * np.tan(np.radians(15))
    return affine


def _sheared_affine(entry: tuple[int, int], share: float) -> np.ndarray:
    affine = np.diag([-PIXEL_MM, -PIXEL_MM, STEP_MM, 1.0])
    affine[:3, 3] = (-PLACE[0], -PLACE[1], PLACE[2])
    affine[entry] += share * PIXEL_MM
    return affine


def _two_forms(folder: Path, hu: np.ndarray) -> Path:
    path = nifti(folder / "ct.nii", hu)
    image = nibabel.load(path)
    image = nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine)
    image.set_sform(image.affine, code=1)
    image.set_qform(np.diag([PIXEL_MM, -PIXEL_MM, STEP_MM, 1.0]), code=1)
    nibabel.save(image, folder / "two.nii")
    return folder / "two.nii"


def _turned(folder: Path, hu: np.ndarray, axes: tuple[int, ...], flips: tuple[bool, ...]) -> Path:
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(SPACING)
    image.SetOrigin(PLACE)
    sitk.WriteImage(sitk.Flip(sitk.PermuteAxes(image, axes), flips), str(folder / "ct.nii.gz"))
    return folder / "ct.nii.gz"


def _without(path: Path, *lines: bytes) -> Path:
    head, data = path.read_bytes().split(b"\n\n", 1) if path.suffix == ".nrrd" else (path.read_bytes(), b"")
    kept = [line for line in head.split(b"\n") if not line.startswith(lines)] if path.suffix == ".nrrd" else []
    if path.suffix == ".nrrd":
        spacing = b"spacings: " + " ".join(map(str, SPACING)).encode()
        path.write_bytes(b"\n".join([*kept, spacing]) + b"\n\n" + data)
    else:
        parts = head.split(b"ElementDataFile", 1)
        kept = [line for line in parts[0].split(b"\n") if not line.startswith(lines)]
        path.write_bytes(b"\n".join(kept) + b"ElementDataFile" + parts[1])
    return path


def _named(folder: Path, hu: np.ndarray) -> Path:
    path = folder / os.fsdecode(b"f\xe4rber.mha")
    shutil.copyfile(write_with_itk(folder / "ct.mha", hu, SPACING, PLACE), path)
    return path


def _nan(folder: Path, hu: np.ndarray) -> Path:
    values = hu.astype(np.float32)
    values[0, 0, 0] = np.nan
    return nifti(folder / "ct.nii", values)


_GROUP_LENGTH = b"\x08\x00\x00\x00\x04\x00\x00\x00\xc8\x00\x00\x00"
_UP_LOOKED_FOR = "does not say how the patient lies"
_SHIFTED = "1024 was subtracted"

CONDITIONS: dict[str, Condition] = {
    "a DICOM series": Condition(_tags()),
    "images named in another order": Condition(_tags(shuffle=True)),
    "no preamble, group 8 first": Condition(_each(_bare)),
    "no preamble, group 2 first": Condition(_each(lambda p: p.write_bytes(p.read_bytes()[132:]) and None)),
    "no preamble, a group length first": Condition(_each(lambda p: _bare(p, _GROUP_LENGTH))),
    "implicit VR": Condition(_each(_rewritten(ImplicitVRLittleEndian))),
    "big endian": Condition(_each(_rewritten(ExplicitVRBigEndian))),
    "deflated": Condition(_each(_rewritten(DeflatedExplicitVRLittleEndian))),
    "RLE": Condition(_each(_rle)),
    "JPEG lossless": Condition(_each(_by_itk("JPEG"))),
    "JPEG-LS": Condition(_each(_jpeg_ls)),
    "JPEG 2000": Condition(_each(_by_itk("JPEG2000"))),
    "a transfer syntax that nothing here unpacks": Condition(_each(_htj2k), REFUSED, "High-Throughput JPEG 2000"),
    "cosines that differ in the sixth decimal": Condition(
        _header(lambda h, n: setattr(h, "ImageOrientationPatient", [1, n * 1e-6, 0, -n * 1e-6, 1, 0]))
    ),
    "spacings that differ in the sixth decimal": Condition(
        _header(lambda h, n: setattr(h, "PixelSpacing", [PIXEL_MM + n * 1e-6, PIXEL_MM]))
    ),
    "enhanced CT": Condition(_enhanced),
    "enhanced CT, one frame a file": Condition(_one_frame_a_file),
    "enhanced CT, another rescale for each frame": Condition(_own_rescale),
    "NO SCOUT in the description": Condition(_tags(SeriesDescription="ABDOMEN NO SCOUT")),
    "scout in the description of axial images": Condition(_tags(SeriesDescription="Abdomen + scout")),
    "a coronal picture in the series": Condition(
        lambda f, hu: _with(f, hu, hu[:1], orientation=CORONAL), SAID, "1 image was left out"
    ),
    "more localisers than images": Condition(
        lambda f, hu: _with(
            f, hu, np.concatenate([hu, hu]), orientation=CORONAL, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]
        ),
        SAID,
        "images were left out",
    ),
    "an image twice with the same pixels": Condition(
        lambda f, hu: _with(f, hu, hu[1:2], heights=np.array([PLACE[2] + STEP_MM]), AcquisitionNumber=1),
        SAID,
        "same as another one at the same place",
    ),
    "two phases by acquisition": Condition(_phases(AcquisitionNumber=2), REFUSED, "2 phases in one series"),
    "the first of two phases by acquisition": Condition(
        _phases(AcquisitionNumber=2), options={"series": "acquisition-1"}
    ),
    "the first of two phases by temporal position": Condition(
        _phases(TemporalPositionIdentifier=2, AcquisitionNumber=1), options={"series": "position-1"}
    ),
    "the first of two phases by time": Condition(_phases(AcquisitionTime="101530"), options={"series": "time-101500"}),
    "two phases that nothing tells apart": Condition(_phases(), REFUSED, "at the place of another one that differ"),
    "Modality missing": Condition(_tags(Modality=None)),
    "a linked folder": Condition(_linked),
    "a loop of linked folders": Condition(lambda f, hu: _linked(f, hu, loop=True)),
    "DICOMDIR given as input": Condition(_directory),
    "a folder copied into itself": Condition(_copied),
    "one image missing": Condition(
        lambda f, hu: series(f, hu, heights=PLACE[2] + STEP_MM * np.array([0, 1, 3, 4])[: len(hu)]),
        SAID,
        "unevenly spaced",
    ),
    "a tilted gantry": Condition(_slanted, SAID, "tilted by 15.0 degrees"),
    "a jump in position": Condition(_jumped, SAID, "12.0 mm to the side"),
    "a material map": Condition(_tags(RescaleType="MGML"), REFUSED, "a material density map"),
    "an effective atomic number map": Condition(_tags(RescaleType="Z_EFF"), REFUSED, "atomic number"),
    "an iodine map by Image Type": Condition(
        _tags(ImageType=["DERIVED", "PRIMARY", "AXIAL", "IODINE"]), REFUSED, "an iodine map"
    ),
    "a virtual monoenergetic image": Condition(
        _tags(ImageType=["DERIVED", "PRIMARY", "AXIAL", "VMI"]), REFUSED, "virtual monoenergetic"
    ),
    "a virtual image by a person's word": Condition(
        _tags(ImageType=["DERIVED", "PRIMARY", "AXIAL", "VMI"]), options={"values_are_hu": True}
    ),
    "a material map beside the CT": Condition(_beside_a_map),
    "DICOM without a rescale": Condition(lambda f, hu: series(f, hu + np.int16(1024), intercept=None), SAID, _SHIFTED),
    "DICOM with the intercept applied twice": Condition(
        lambda f, hu: series(f, hu - np.int16(1024), intercept=-2048), SAID, "1024 was added"
    ),
    "DICOM with a wrong intercept": Condition(
        lambda f, hu: series(f, hu + np.int16(512)), REFUSED, "not in Hounsfield units"
    ),
    "MR": Condition(_tags(Modality="MR", SOPClassUID=MR_IMAGE), REFUSED, "segments CT only"),
    "screenshots": Condition(lambda f, hu: write_colour(f).parent, REFUSED, "colour"),
    "a localiser alone": Condition(
        _tags(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], orientation=CORONAL), REFUSED, "localiser"
    ),
    "an empty folder": Condition(lambda f, hu: f, REFUSED, "is empty"),
    "NIfTI": Condition(lambda f, hu: nifti(f / "ct.nii.gz", hu)),
    "NIfTI gzipped, but not by its name": Condition(
        lambda f, hu: shutil.move(nifti(f / "ct.nii.gz", hu), f / "ct.nii")
    ),
    "NIfTI of double precision": Condition(lambda f, hu: nifti(f / "ct.nii", hu.astype(np.float64))),
    "NIfTI with one time point": Condition(lambda f, hu: nifti(f / "ct.nii", hu[None])),
    "NIfTI with both codes 0": Condition(
        lambda f, hu: nifti(f / "ct.nii", hu[:, ::-1, ::-1], sform_code=0, qform_code=0),
        SAID,
        _UP_LOOKED_FOR,
        flips=(False, True, True),
    ),
    "NIfTI with the spacing alone": Condition(
        lambda f, hu: nifti(f / "ct.nii", hu, affine=np.diag([*SPACING, 1.0])), SAID, _UP_LOOKED_FOR
    ),
    "sagittal slices with the spacing alone": Condition(
        lambda f, hu: nifti(f / "ct.nii", hu.transpose(1, 2, 0), affine=np.diag([STEP_MM, PIXEL_MM, PIXEL_MM, 1.0])),
        SAID,
        "i axis runs along the patient",
    ),
    "NIfTI without any geometry": Condition(
        lambda f, hu: nifti(f / "ct.nii", hu, affine=np.eye(4)), SAID, "spacing is unknown"
    ),
    "an affine sheared by rounding": Condition(
        lambda f, hu: nifti(f / "ct.nii", hu, affine=_sheared_affine((0, 1), 9e-4))
    ),
    "an affine with a tilted gantry": Condition(
        lambda f, hu: nifti(f / "ct.nii", hu, affine=_tilted_affine()), SAID, "tilted by 15.0 degrees"
    ),
    "an affine sheared in plane": Condition(
        lambda f, hu: nifti(f / "ct.nii", hu, affine=_sheared_affine((0, 1), 0.05)), REFUSED, "sheared"
    ),
    "qform and sform that contradict each other": Condition(_two_forms, SAID, "contradict each other"),
    "stored from left to right and feet first": Condition(lambda f, hu: _turned(f, hu, (0, 1, 2), (True, True, True))),
    "stored as sagittal slices": Condition(lambda f, hu: _turned(f, hu, (1, 2, 0), (False, True, False))),
    "HU + 1024 with fill -1024": Condition(
        lambda f, hu: nifti(f / "ct.nii", filled(hu, 1024, -1024)), SAID, _SHIFTED, precise=False
    ),
    "HU + 1024 with fill -1000": Condition(
        lambda f, hu: nifti(f / "ct.nii", filled(hu, 1024, -1000)), SAID, _SHIFTED, precise=False
    ),
    "HU + 1024 with fill -500": Condition(
        lambda f, hu: nifti(f / "ct.nii", filled(hu, 1024, -500)), SAID, _SHIFTED, precise=False
    ),
    "HU + 1024 with fill 0": Condition(
        lambda f, hu: nifti(f / "ct.nii", filled(hu, 1024, 0)), SAID, _SHIFTED, precise=False
    ),
    "HU - 1024": Condition(lambda f, hu: nifti(f / "ct.nii", hu - np.int16(1024)), SAID, "1024 was added"),
    "HU - 1024, cut off at -1024": Condition(
        lambda f, hu: nifti(f / "ct.nii", np.maximum(hu - np.int16(1024), np.int16(-1024))), REFUSED, "was cut off"
    ),
    "HU / 1000": Condition(
        lambda f, hu: nifti(f / "ct.nii", hu / np.float32(1000)), SAID, "multiplied by 1000", precise=False
    ),
    "HU + 512": Condition(lambda f, hu: nifti(f / "ct.nii", hu + np.int16(512)), REFUSED, "too high"),
    "NaN in it": Condition(_nan, SAID, "not a number", precise=False),
    "a file cut short": Condition(lambda f, hu: truncate(nifti(f / "ct.nii.gz", hu)), REFUSED, "cut short"),
    "several time points": Condition(lambda f, hu: nifti(f / "ct.nii", np.stack([hu, hu])), REFUSED, "4-D"),
    "NRRD": Condition(lambda f, hu: write_with_itk(f / "ct.nrrd", hu, SPACING, PLACE)),
    "NRRD without space": Condition(
        lambda f, hu: _without(write_with_itk(f / "ct.nrrd", hu, SPACING, PLACE), b"space", b"measurement"),
        SAID,
        _UP_LOOKED_FOR,
    ),
    "MetaImage": Condition(lambda f, hu: write_with_itk(f / "ct.mha", hu, SPACING, PLACE)),
    "MetaImage without matrix": Condition(
        lambda f, hu: _without(write_with_itk(f / "ct.mha", hu, SPACING, PLACE), b"TransformMatrix"),
        SAID,
        _UP_LOOKED_FOR,
    ),
    "a file name that is no UTF-8": Condition(_named),
}

# The header says that left is right: nothing is changed, and the result says so.
MIRRORED = Condition(lambda f, hu: nifti(f / "ct.nii", hu[:, :, ::-1]), SAID, "left and right exchanged")
FACE_DOWN = Condition(lambda f, hu: nifti(f / "ct.nii", hu[:, ::-1]), SAID, "front and back exchanged")
