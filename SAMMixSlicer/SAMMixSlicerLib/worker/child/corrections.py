"""Saves corrected slices to disk while the user works, for fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sammix_core.datasets.correction import Source
from sammix_core.datasets.correction_set import CorrectionSet
from sammix_core.finetuning.from_session import correction_of_session
from SAMMixSlicerLib.worker.events import CorrectionsSaved
from SAMMixSlicerLib.worker.mask_commands import SaveCorrections

if TYPE_CHECKING:
    from sammix_core.segmentation.session import SegmentationSession


class CorrectionWriter:
    """Writes correction sets."""

    def __init__(self) -> None:
        # A case's key is a hash of all its voxels, so it is computed once.
        self._case_keys: WeakKeyDictionary[SegmentationSession, str] = WeakKeyDictionary()

    def save(self, command: SaveCorrections, session: SegmentationSession) -> CorrectionsSaved:
        """Updates a correction set from the current slices.

        Raises:
            InputError: The set cannot be opened or written; each slice is saved completely or not at all.
        """
        corrections = CorrectionSet.open_or_create(command.folder, command.target)
        case = self._case_keys.get(session)
        if case is None:
            case = self._case_keys[session] = CorrectionSet.case_key(session.volume, session.axial.order)
        entries = {entry.slice_index: entry for entry in corrections.entries() if entry.case == case}
        for index in command.slices:
            if session.slices.state(index).corrected:
                corrections.add(correction_of_session(session, index, Source.CORRECTED), case)
            elif command.accepted:
                corrections.add(correction_of_session(session, index, Source.ACCEPTED), case)
            else:
                entry = entries.get(session.axial.canonical(index))
                if entry is not None and entry.source is Source.CORRECTED:
                    corrections.remove(entry.id)
        return CorrectionsSaved(command.request, case)
