"""The DICOM files that a volume was loaded from, by Slicer's DICOM database."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from sammix_core.errors import InputError

# Slicer's DICOM module writes the SOP Instance UIDs of the slices into it, separated by spaces.
_INSTANCE_UIDS = "DICOM.instanceUIDs"


def whyNoDicom(volumeNode: Any) -> str:
    """Why no DICOM file can be written for a volume, in a sentence; "" where it came from DICOM."""
    if volumeNode is not None and (volumeNode.GetAttribute(_INSTANCE_UIDS) or "").strip():
        return ""
    name = _("The CT") if volumeNode is None else volumeNode.GetName()
    return _(
        "{name} was not loaded from Slicer's DICOM database, so there is no patient and no series that a DICOM file "
        "could belong to. Load the CT with the DICOM module, or choose another format."
    ).format(name=name)


def dicomFilesOf(volumeNode: Any) -> list[str]:
    """The files that a volume was loaded from.

    Raises:
        InputError: It was not loaded from DICOM, or its files are no longer in Slicer's database.
    """
    reason = whyNoDicom(volumeNode)
    if reason:
        raise InputError(reason)
    database = slicer.app.dicomDatabase()
    uids = volumeNode.GetAttribute(_INSTANCE_UIDS).split()
    files = [database.fileForInstance(uid) if database is not None else "" for uid in uids]
    if not all(files):
        raise InputError(
            _(
                "{count} of the {total} images of {name} are no longer in Slicer's DICOM database, so a DICOM file "
                "cannot refer to them. Import the CT again."
            ).format(count=files.count(""), total=len(files), name=volumeNode.GetName())
        )
    return files
