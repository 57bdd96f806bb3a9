"""Runs the commands of docs/hospital.md against an Orthanc of its own, and writes them with their output.

    python benchmarks/hospital/walkthrough.py ../shared/data/crlm1004_ct.nii.gz

The CT becomes a DICOM series of a made-up patient. The result lies beside this script, in walkthrough.txt.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "Testing" / "makers"))

from dicom_files import write_series  # noqa: E402
from orthanc_server import ORTHANC_PASSWORD, ORTHANC_USER, running_orthanc  # noqa: E402

from sammix_core.volume_io import read_volume  # noqa: E402

STUDY, SERIES = "1.2.826.0.1.3680043.8.498.1004", "1.2.826.0.1.3680043.8.498.1004.2"
# The port that Orthanc has by default, in the place of the free one that it got here
SHOWN = "localhost:8042"


def main(ct: Path) -> None:
    with tempfile.TemporaryDirectory() as name, running_orthanc(Path(name, "orthanc")) as orthanc:
        folder = Path(name, "work")
        folder.mkdir()
        files = write_dicom(ct, folder / "ct")
        orthanc.add(*files)
        pacs = orthanc.address
        study, series = f"{pacs}/studies/{STUDY}", f"{pacs}/studies/{STUDY}/series/{SERIES}"
        lines: list[str] = []
        for command in (
            f"sammix pacs find {pacs} --date 20260105 --modality CT",
            f"sammix segment {series} -o liver.seg.dcm --sr liver.sr.dcm --preview liver.png",
            f"sammix pacs send {pacs} liver.seg.dcm liver.sr.dcm",
            f"sammix pacs find {study}",
            f"sammix pacs fetch {study} -o study",
            f"sammix pacs fetch {study} -o study --modality SEG",
        ):
            lines += [f"$ {command}", *output(command, folder), ""]
        password = os.environ.pop("SAMMIX_PACS_PASSWORD")
        os.environ["SAMMIX_PACS_PASSWORD"] = "wrong"
        command = f"sammix pacs find {pacs}"
        lines += [f"$ {command}", *output(command, folder), ""]
        os.environ["SAMMIX_PACS_PASSWORD"] = password
        orthanc.stop()
        lines += [f"$ {command}", *output(command, folder)]
        text = "\n".join(lines).replace(pacs.split("/")[2], SHOWN)
        (HERE / "walkthrough.txt").write_text(text + "\n", encoding="utf-8")
        print(text)


def output(command: str, folder: Path) -> list[str]:
    """What a command prints on both streams, without the lines of its progress."""
    words = [sys.executable, "-m", "sammix_core.cli", *shlex.split(command)[1:]]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    errors = done.stderr.splitlines() if done.returncode else []
    return [*done.stdout.splitlines(), *errors[-1:]]


def write_dicom(ct: Path, folder: Path) -> list[Path]:
    """Writes an axial CT as a series of DICOM files."""
    volume = read_volume(ct)
    lps = volume.direction
    positions = np.asarray(volume.origin) + np.outer(np.arange(len(volume.array)) * volume.spacing[2], lps[:, 2])
    tags = {
        "StudyInstanceUID": STUDY,
        "PatientName": "Doe^Jane",
        "PatientID": "4711",
        "PatientBirthDate": "19510623",
        "PatientSex": "F",
        "StudyDate": "20260105",
        "StudyTime": "101500",
        "AccessionNumber": "A2026-17",
        "ReferringPhysicianName": "",
        "StudyID": "1",
        "SeriesNumber": 2,
        "SeriesDescription": "Abdomen portal venous",
        "Manufacturer": "",
        "PixelSpacing": [volume.spacing[1], volume.spacing[0]],
        "SliceThickness": volume.spacing[2],
    }
    orientation = (*lps[:, 0], *lps[:, 1])
    return write_series(folder, volume.array, positions=positions, orientation=orientation, uid=SERIES, **tags)


if __name__ == "__main__":
    os.environ.pop("SAMMIX_PACS_TOKEN", None)
    os.environ["SAMMIX_PACS_USER"], os.environ["SAMMIX_PACS_PASSWORD"] = ORTHANC_USER, ORTHANC_PASSWORD
    main(Path(sys.argv[1]))
