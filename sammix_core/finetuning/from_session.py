"""From a session that a person has corrected to corrections."""

from __future__ import annotations

from sammix_core.boxes.parts import enclosing_box
from sammix_core.datasets.correction import Correction, Source, canonical_hu
from sammix_core.errors import InputError
from sammix_core.model_store.manifest import WEIGHTS_FILE
from sammix_core.model_store.store import resolve
from sammix_core.preprocessing.body_crop import body_crop
from sammix_core.segmentation.session import SegmentationSession


def correction_of_session(
    session: SegmentationSession, slice_index: int, source: Source = Source.CORRECTED
) -> Correction:
    """A slice of a session, with the mask and the box that it has now.

    The orientation is the session's own, which may be another than the header's where that has been lost.

    Args:
        session: The session.
        slice_index: Index along the user's slice axis.
        source: Who made or approved the mask.

    Raises:
        InputError: There is no such slice.
    """
    axial, volume = session.axial, session.volume
    if not 0 <= slice_index < len(axial):
        raise InputError(f"The volume has no slice {slice_index}.")
    state = session.slices.state(slice_index)
    canonical = axial.canonical(slice_index)
    spacing = axial.order.spacing(volume.spacing)
    frame = axial.frame
    model = session.model_spec
    return Correction(
        slice_index=canonical,
        slices=len(axial),
        hu=canonical_hu(axial.hu[canonical]),
        mask=axial.order.slice_to_canonical(session.slices.plane(slice_index)).astype(bool),
        spacing_mm=spacing,
        spacing_known=volume.spacing_known,
        crop=(frame.row0, frame.col0, frame.row0 + frame.rows, frame.col0 + frame.cols),
        body=body_crop(axial.hu, spacing[1:], axial.preprocessing.body_margin_mm),
        box=enclosing_box([axial.order.box_to_canonical(box.edges, volume.shape_kji) for box in state.boxes]),
        source=source,
        model=model,
        model_sha256=_weights_sha256(model),
    )


def _weights_sha256(spec: str) -> str | None:
    """The SHA-256 of a model's weights; None for a model that is no longer there."""
    try:
        return resolve(spec).manifest.files[WEIGHTS_FILE]
    except InputError:
        return None
