"""Whether what was found in a CT can be the organ at all.

A network that only knows abdomens finds a liver in a brain and in a cube of water. So a model may carry what its own
embedding of the organ looks like: every slice with a box is compared with that, and its density, its size and the
bone around it with what an organ can have. What cannot be the organ gets no boxes; what is doubtful keeps them, and
is said. How it is calibrated: `benchmarks/liver_model/plausibility.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np
from scipy import ndimage

from sammix_core.documents import settings_from_dict, settings_to_dict
from sammix_core.errors import WARNING, InputError
from sammix_core.guidance.boxes_from_cam import GuidedBoxes
from sammix_core.preprocessing.spec import PreprocessingSpec

NAME = "plausibility"  # the settings' key in a manifest's guidance
WEIGHTS_FILE = "plausibility.safetensors"

_MOST_SLICES = 24  # evenly spread; each takes some milliseconds
_RING_CELLS = 5
_NEAR_CELLS = 2
_BODY_SHARE = 0.05  # of the window: above -140 HU, where the window begins at -160
_BONE_SHARE = 0.9
_LEAST_CELLS = 4
_LEAST_DISTANCE = 1e-3


class Verdict(StrEnum):
    """What a check came to."""

    PLAUSIBLE = "plausible"
    DOUBTFUL = "doubtful"
    IMPLAUSIBLE = "implausible"


@dataclass(frozen=True)
class Judgement:
    """A verdict with its reason.

    Attributes:
        verdict: The verdict.
        reason: Half a sentence for a person; "" where it is plausible.
        similarity: Log-odds that the slices show the organ, by their embeddings.
    """

    verdict: Verdict
    reason: str = ""
    similarity: float = math.inf

    def sentence(self, target: str) -> str:
        """What to tell a person about something that was found as `target`; "" where it is plausible."""
        if self.verdict is Verdict.IMPLAUSIBLE:
            return (
                f"{WARNING} this does not look like a CT with a {target} ({self.reason}), so no box was set. If "
                f"there is a {target}, draw a box on its slices."
            )
        if self.verdict is Verdict.DOUBTFUL:
            return f"{WARNING} check first whether this is a {target} at all: {self.reason}."
        return ""


@dataclass(frozen=True)
class Sight:
    """What one slice with a box shows.

    Attributes:
        features: (n,) float32, means of the embedding where the organ was found and round it.
        area_mm2: How much was found.
        hu: Median HU of it.
        spread_hu: Distance of the first from the third quartile of it.
        bone: Share of what lies close round it that is as dense as bone.
        body_share: Share of the body's section that it takes.
        body_mm: Diameter of a circle as large as the body's section.
    """

    features: np.ndarray
    area_mm2: float
    hu: float
    spread_hu: float
    bone: float
    body_share: float
    body_mm: float


def sight_of(
    embedding: np.ndarray, image: np.ndarray, cells: np.ndarray, pixel_mm: float, preprocessing: PreprocessingSpec
) -> Sight:
    """Sums up one slice.

    Args:
        embedding: (channels, h, w) float32.
        image: (size, size) float32 in [0, 1], what was encoded.
        cells: (h, w) bool, where the organ was found; at least one.
        pixel_mm: Side of a pixel of the image.
        preprocessing: For the window, to tell HU.
    """
    side = cells.shape[0]
    factor = image.shape[0] // side
    small = image.reshape(side, factor, side, factor).mean((1, 3))
    near = ndimage.binary_dilation(cells, iterations=_NEAR_CELLS) & ~cells
    ring = ndimage.binary_dilation(cells, iterations=_RING_CELLS) & ~ndimage.binary_dilation(cells)
    body = ndimage.binary_fill_holes((small > _BODY_SHARE) | cells)
    values = image[np.kron(cells, np.ones((factor, factor), bool))]
    shares = np.percentile(values, (25, 50, 75)) - 0.5
    first, middle, third = (preprocessing.window_level + shares * preprocessing.window_width).tolist()
    cell_mm2 = (factor * pixel_mm) ** 2
    return Sight(
        features=np.concatenate([embedding[:, cells].mean(1), _mean(embedding, ring)]).astype(np.float32),
        area_mm2=float(cells.sum() * cell_mm2),
        hu=middle,
        spread_hu=third - first,
        bone=float((small[near] > _BONE_SHARE).mean()) if near.any() else 0.0,
        body_share=float(cells.sum() / body.sum()),
        body_mm=2 * math.sqrt(body.sum() * cell_mm2 / math.pi),
    )


@dataclass(frozen=True)
class PlausibilitySettings:
    """Limits, kept in a model's manifest.

    Attributes:
        implausible_below: Log-odds under which it is not the organ.
        doubtful_below: Log-odds under which that is doubtful.
        least_hu: No organ has a lower median density.
        most_hu: No organ has a higher one.
        most_spread_hu: No organ is more uneven between its quartiles.
        most_bone: With more bone than this close round it, what is found may lie in a skull.
        bone_below: Log-odds under which it then is not the organ.
        doubtful_bone: Above this share it is doubtful.
        doubtful_body_share: An organ that takes more of the body's section is doubtful.
        least_body_mm: No patient is thinner.
        most_ml: An organ that is larger is doubtful.
    """

    implausible_below: float
    doubtful_below: float
    least_hu: float
    most_hu: float
    most_spread_hu: float
    most_bone: float
    bone_below: float
    doubtful_bone: float
    doubtful_body_share: float
    least_body_mm: float
    most_ml: float

    def to_dict(self) -> dict[str, float]:
        """The fields as plain JSON values."""
        return settings_to_dict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads the fields from a manifest.

        Raises:
            InputError: A field is missing, unknown or no number.
        """
        return settings_from_dict(cls, values, "The model's plausibility section")


@dataclass(frozen=True)
class Plausibility:
    """What an organ looks like to the encoder, and what it can be.

    Attributes:
        mean: (n,) float32, of the organ's features.
        axes: (k, n) float32, orthonormal, along which slices with and without the organ vary.
        scale: (k,) float32, how much they vary along each.
        organ_axes: (m, n) float32, orthonormal, along which the organ alone varies.
        weights: (k + 1,) float32 of a logistic regression on the scaled coordinates along `axes` and on the logarithm
            of the distance from the space of `organ_axes`.
        bias: (1,) float32, its constant.
        settings: The limits.

    Raises:
        InputError: The arrays do not fit each other.
    """

    mean: np.ndarray
    axes: np.ndarray
    scale: np.ndarray
    organ_axes: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    settings: PlausibilitySettings

    def __post_init__(self) -> None:
        (size,), count = self.mean.shape, len(self.axes)
        shapes = {"axes": (count, size), "scale": (count,), "organ_axes": (len(self.organ_axes), size)}
        shapes |= {"weights": (count + 1,), "bias": (1,)}
        if any(getattr(self, name).shape != shape for name, shape in shapes.items()):
            raise InputError("The model's plausibility weights do not fit each other.")

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Self:
        """Takes what a model's folder holds.

        Args:
            state: Arrays by name.
            settings: The manifest's entry.

        Raises:
            InputError: An array is missing, or something is of the wrong kind.
        """
        try:
            arrays = {name: np.asarray(state[name], np.float32) for name in cls.arrays()}
        except KeyError as error:
            raise InputError(f"The model's plausibility weights lack {error}.") from None
        return cls(**arrays, settings=PlausibilitySettings.from_dict(settings))

    @staticmethod
    def arrays() -> tuple[str, ...]:
        """Names of the arrays in a model's folder."""
        return ("mean", "axes", "scale", "organ_axes", "weights", "bias")

    def similarity(self, features: np.ndarray) -> np.ndarray:
        """Log-odds that slices show the organ.

        Args:
            features: (slices, n) float32.

        Returns:
            (slices,) float32.
        """
        return self.coordinates(features) @ self.weights + self.bias

    def coordinates(self, features: np.ndarray) -> np.ndarray:
        """(slices, k + 1) float32: what the logistic regression sees of (slices, n) features."""
        centred = features - self.mean
        rest = centred - centred @ self.organ_axes.T @ self.organ_axes
        distance = np.log(np.linalg.norm(rest, axis=1) + _LEAST_DISTANCE)
        return np.column_stack([centred @ self.axes.T / self.scale, distance]).astype(np.float32)

    def judge(self, sights: Sequence[Sight], slice_mm: float | None) -> Judgement:
        """Judges a volume by its slices with boxes.

        Args:
            sights: At least one.
            slice_mm: How much of the patient each covers; None where millimetres are not known, and then nothing
                that is measured in them counts.

        Returns:
            The verdict.
        """
        limits = self.settings
        areas = np.array([sight.area_mm2 for sight in sights])

        def mean(of: Callable[[Sight], float]) -> float:
            return float(np.average([of(sight) for sight in sights], weights=areas))

        similarity = float(np.average(self.similarity(np.stack([s.features for s in sights])), weights=areas))
        hu, bone, share = mean(lambda s: s.hu), mean(lambda s: s.bone), mean(lambda s: s.body_share)
        if not limits.least_hu <= hu <= limits.most_hu:
            reason = f"what was found has a density of {hu:.0f} HU"
            return Judgement(Verdict.IMPLAUSIBLE, reason, similarity)
        if mean(lambda s: s.spread_hu) > limits.most_spread_hu:
            return Judgement(Verdict.IMPLAUSIBLE, "what was found is as uneven as noise", similarity)
        if slice_mm is not None and max(sight.body_mm for sight in sights) < limits.least_body_mm:
            return Judgement(Verdict.IMPLAUSIBLE, "the body is too small for a patient's", similarity)
        if bone > limits.most_bone and similarity < limits.bone_below:
            return Judgement(Verdict.IMPLAUSIBLE, "what was found lies in bone, as a brain does", similarity)
        if similarity < limits.implausible_below:
            return Judgement(Verdict.IMPLAUSIBLE, "the slices are not like those of an abdomen", similarity)
        doubts = {
            "the slices are hardly like those of an abdomen": similarity < limits.doubtful_below,
            "there is much bone close round it": bone > limits.doubtful_bone,
            "it takes most of the body's section": share > limits.doubtful_body_share,
        }
        if slice_mm is not None:
            doubts["it is too large"] = areas.sum() * slice_mm / 1000 > limits.most_ml
        reasons = [reason for reason, doubtful in doubts.items() if doubtful]
        if reasons:
            return Judgement(Verdict.DOUBTFUL, " and ".join(reasons), similarity)
        return Judgement(Verdict.PLAUSIBLE, similarity=similarity)


def slices_to_judge(guided: GuidedBoxes) -> list[int]:
    """Some of the canonical slices that have a box and were encoded themselves, evenly spread."""
    encoded = [
        index
        for index, boxes in enumerate(guided.boxes)
        if boxes and (guided.between is None or guided.between[index][0] < 0)
    ]
    if len(encoded) <= _MOST_SLICES:
        return encoded
    numbers = np.linspace(0, len(encoded) - 1, _MOST_SLICES).round().astype(int)
    return [encoded[number] for number in numbers]


def cells_of(guided: GuidedBoxes, index: int, size: int) -> np.ndarray:
    """(h, w) bool: where the organ was found on a canonical slice with a box, in the cells of the map.

    Args:
        guided: What was found.
        index: The slice.
        size: Side of the network image in pixels.
    """
    boxes, support = guided.boxes[index], guided.support[index]
    if not boxes:
        raise ValueError("the slice has no box")
    inside = np.zeros_like(support)
    side = support.shape[-1] / size
    for box in boxes:
        x_min, y_min, x_max, y_max = (round(edge * side) for edge in box)
        inside[y_min : max(y_max, y_min + 1), x_min : max(x_max, x_min + 1)] = True
    cells = support & inside
    # The map can be blind to a slice that was followed from its neighbour; then the box is all that is known.
    return cells if np.count_nonzero(cells) >= _LEAST_CELLS else inside


def _mean(embedding: np.ndarray, cells: np.ndarray) -> np.ndarray:
    return embedding[:, cells].mean(1) if cells.any() else np.zeros(len(embedding), np.float32)
