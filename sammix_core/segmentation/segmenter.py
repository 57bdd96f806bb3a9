"""The entry point: from a volume to boxes and masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sammix_core.boxes import BoxTrack, Click
from sammix_core.embeddings.disk_store import EmbeddingStore
from sammix_core.embeddings.limits import EMBEDDING_LIMIT_BYTES
from sammix_core.engines import openvino_compiler
from sammix_core.model_store.organs import DEFAULT_MODEL
from sammix_core.progress import CancelCheck, Progress, ProgressCallback
from sammix_core.segmentation.default_refiner import default_refiner
from sammix_core.segmentation.model_loading import LoadedModel, load_model
from sammix_core.segmentation.result import SegmentationResult, SliceReport
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.segmentation.slice_decoder import MaskRefiner
from sammix_core.segmentation.slice_sampling import DEFAULT_SAMPLING, SliceSampling
from sammix_core.volume.volume import Volume

__all__ = [
    "CancelCheck",
    "LoadedModel",
    "Progress",
    "ProgressCallback",
    "SegmentationResult",
    "SegmentationSession",
    "Segmenter",
    "SliceReport",
]


class Segmenter:
    """Segments volumes with one model on one device.

    Attributes:
        model: The model.
        refiner: Optional refiner applied to decoded masks.

    Example:
        The shipped model segments a file with `Segmenter.load("liver").segment_volume(read_volume("ct.nii.gz"))`. Here
        `model` is a `LoadedModel`, and the CT has two slices with a bright organ in air.

        >>> import numpy as np
        >>> from sammix_core import Segmenter, Volume
        >>> hu = np.full((2, 64, 64), -1000, dtype=np.int16)
        >>> hu[:, 20:40, 16:36] = 110
        >>> ct = Volume(hu, spacing=(4.0, 4.0, 5.0), origin=(0.0, 0.0, 0.0), direction=np.eye(3))
        >>> result = Segmenter(model).segment_volume(ct)
        >>> result.mask.shape, bool(result.mask[0, 30, 26]), bool(result.mask[0, 5, 5])
        ((2, 64, 64), True, False)
        >>> [box.edges for box in result.boxes.every_box]
        [(16, 20, 36, 40), (16, 20, 36, 40)]
    """

    def __init__(self, model: LoadedModel, refiner: MaskRefiner | None = None) -> None:
        self.model = model
        self.refiner = refiner

    @classmethod
    def load(
        cls,
        model: str | Path = DEFAULT_MODEL,
        device: str = "auto",
        guidance: str | None = None,
        base_weights: Path | None = None,
        engine: str = "auto",
        precision: str = openvino_compiler.DEFAULT,
        refined: bool = True,
    ) -> Segmenter:
        """Loads a model.

        Args:
            model: Name ("liver": its newest version), name and version ("liver/1.0.0"), or a folder.
            device: "auto", "cpu" or "cuda".
            guidance: "embedding_cam" or "resnet38", or None for the model's own.
            base_weights: A local file of the base model's weights, or None for the installed one.
            engine: How encoder and decoder run: "auto", "torch" or "openvino".
            precision: The encoder's: "float32", "bfloat16", "int8", or "default" for the quickest that has been shown
                to be as good; what the engine cannot do it does in float32.
            refined: Whether masks are refined where a refiner goes with the model, see `default_refiner`.

        Raises:
            InputError: Model, weights, device or guidance are not there or do not fit each other.
        """
        loaded = load_model(model, device, guidance, base_weights, engine, precision)
        return cls(loaded, default_refiner(loaded) if refined else None)

    def open_session(
        self,
        volume: Volume,
        keep_uncertainty: bool = False,
        sampling: SliceSampling = DEFAULT_SAMPLING,
        keep_embeddings: bool = False,
        limit_bytes: int = EMBEDDING_LIMIT_BYTES,
    ) -> SegmentationSession:
        """Opens a volume for interactive use; nothing is computed yet.

        Args:
            volume: The CT.
            keep_uncertainty: Whether results say how far the three masks are apart.
            sampling: Which slices may go without the encoder; `EVERY_SLICE` for none.
            keep_embeddings: Whether embeddings are kept on disk, so that the same CT is quicker another time.
            limit_bytes: What the embeddings may take in memory.
        """
        store = None
        if keep_embeddings:
            store = EmbeddingStore(self.model.backend.encoder_key())
        session = SegmentationSession(self.model, volume, limit_bytes, keep_uncertainty, sampling, store)
        session.set_refiner(self.refiner)
        return session

    def segment_volume(
        self,
        volume: Volume,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        boxes: BoxTrack | None = None,
        uncertainty: bool = False,
        sampling: SliceSampling = DEFAULT_SAMPLING,
        keep_embeddings: bool = False,
        clicks: Sequence[Click] = (),
    ) -> SegmentationResult:
        """Segments a whole volume.

        Args:
            volume: The CT.
            progress: Called after each slice.
            cancel: Polled after each slice; return True to stop.
            boxes: Boxes to use as they are, with their clicks (a slice without either gets no mask), or None to find
                them. They may have been made on the same CT in another order of axes.
            uncertainty: Whether the result says how far the three masks are apart.
            sampling: Which slices may go without the encoder; `EVERY_SLICE` for none.
            keep_embeddings: Whether embeddings are kept on disk, so that the same CT is quicker another time.
            clicks: Further clicks, in voxel indices of the volume; see `SegmentationSession.add_click`.

        Returns:
            The mask on the volume's own grid, with boxes and a report a slice.

        Raises:
            Cancelled: The user stopped; nothing remains.
            InputError: The boxes or clicks do not fit the volume.
        """
        session = self.open_session(volume, uncertainty, sampling, keep_embeddings)
        if boxes is not None:
            boxes.check_fits(volume)
        session.boxes.check_clicks(clicks)
        session.find_boxes(progress, cancel)
        if boxes is not None:
            session.boxes = boxes
        session.boxes.add_clicks(clicks)
        return session.segment_boxes(progress, cancel)
