"""Corrected slices go to disk as the user works, for fine-tuning to learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sammix_core.datasets.correction import Source
from sammix_core.datasets.correction_set import CorrectionSet
from sammix_core.finetuning.from_session import correction_of_session
from SAMMixSlicerLib.worker.events import CorrectionsKept
from SAMMixSlicerLib.worker.mask_commands import KeepCorrections

if TYPE_CHECKING:
    from sammix_core.segmentation.session import SegmentationSession


class Corrections:
    """Writes correction sets."""

    def __init__(self) -> None:
        # A case's key is a hash of all its voxels.
        self._cases: WeakKeyDictionary[SegmentationSession, str] = WeakKeyDictionary()

    def keep(self, command: KeepCorrections, session: SegmentationSession) -> CorrectionsKept:
        """Brings a set in line with slices as they are now.

        Raises:
            InputError: The set cannot be opened or written; each slice is in it whole or not at all.
        """
        found = CorrectionSet.open_or_create(command.folder, command.target)
        case = self._cases.get(session)
        if case is None:
            case = self._cases[session] = CorrectionSet.case_key(session.volume, session.axial.order)
        entries = {entry.slice_index: entry for entry in found.entries() if entry.case == case}
        for index in command.slices:
            if session.slices.state(index).corrected:
                found.add(correction_of_session(session, index, Source.CORRECTED), case)
            elif command.accepted:
                found.add(correction_of_session(session, index, Source.ACCEPTED), case)
            else:
                entry = entries.get(session.axial.canonical(index))
                if entry is not None and entry.source is Source.CORRECTED:
                    found.remove(entry.id)
        return CorrectionsKept(command.request, case)
