"""Views of the training slices and their embeddings, computed once and kept on disk.

A view is either clean (the body crop that inference uses) or augmented. Each view of a case is one
`.npy` of embeddings and one `.npz` of labels, written whole or not at all, so that an interrupted run goes on where
it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sammix_core.datasets.augmentation import HARD, MILD, STRONG, Strength, augmented_view
from sammix_core.datasets.cases import Case, CaseConfig
from sammix_core.files import atomic_path, sha256_of
from sammix_core.preprocessing.frame import Frame
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.preprocessing.window import slice_image
from sammix_core.sam.backend import SamBackend

RECIPE = 1  # raise when the way views are drawn changes, so that old ones are not taken for new
CLEAN = "clean"
# Views from these numbers on are drawn harder; see docs/decisions/hard-views.md.
_HARD_FROM, _STRONG_FROM = 8, 11
_NEGATIVE_SHARE = 3  # of the slices without the structure, one in three is in an augmented view


@dataclass(frozen=True)
class View:
    """One view of one case, on disk.

    Attributes:
        case: Name of the patient.
        name: "clean", or "view-00" and on.
        embeddings: (n, 256, 64, 64) float16, memory-mapped.
        shares: (n, 256, 256) uint8, label share times 255.
        slices: (n,) canonical slice indices.
    """

    case: str
    name: str
    embeddings: np.ndarray
    shares: np.ndarray
    slices: np.ndarray


def view_names(augmented: int) -> list[str]:
    """Names of a case's views, the clean one first."""
    return [CLEAN, *(f"view-{number:02d}" for number in range(augmented))]


def views_folder(root: Path, config: CaseConfig, spec: PreprocessingSpec, seed: int) -> Path:
    """Folder of a case's views; its name changes with anything that changes the views."""
    # The frame's least extent pads volumes that are cut closer than any training view, so it changes none.
    drawn = {key: value for key, value in spec.to_dict().items() if key != "least_extent_mm"}
    parts = [RECIPE, seed, drawn, list(config.values), config.ct.name, sha256_of(config.labels)]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
    return root / f"{config.name}-{key}"


def make_view(
    case: Case,
    name: str,
    folder: Path,
    backend: SamBackend,
    spec: PreprocessingSpec,
    seed: int,
    on_slice: Callable[[], None],
) -> None:
    """Draws a view's images, encodes them and writes both files.

    Args:
        case: The case.
        name: The view's name.
        folder: Where to write.
        backend: Encodes.
        spec: The model's preprocessing.
        seed: With case, view and slice, decides what is drawn.
        on_slice: Called after each slice; may raise to stop.
    """
    slices = _slices_of(case, name)
    embeddings, shares = [], []
    for index in slices:
        image, share = draw_slice(case, name, index, spec, seed)
        embeddings.append(backend.encode(torch.from_numpy(image)[None, None])[0].to(torch.float16).cpu().numpy())
        shares.append(np.round(share * 255).astype(np.uint8))
        on_slice()
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / f"{name}.npz") as path:
        np.savez_compressed(path, shares=np.stack(shares), slices=np.array(slices))
    with atomic_path(folder / f"{name}.npy") as path:  # written last: its presence says that the view is complete
        np.save(path, np.stack(embeddings))


def open_view(case: str, name: str, folder: Path) -> View:
    """Opens a view that was made."""
    with np.load(folder / f"{name}.npz") as arrays:
        shares, slices = arrays["shares"], arrays["slices"]
    return View(case, name, np.load(folder / f"{name}.npy", mmap_mode="r"), shares, slices)


def has_view(folder: Path, name: str) -> bool:
    """Whether a view is complete."""
    return (folder / f"{name}.npy").is_file() and (folder / f"{name}.npz").is_file()


def slice_count(case: Case, name: str) -> int:
    """How many slices a view has, for progress."""
    return len(_slices_of(case, name))


def _slices_of(case: Case, name: str) -> list[int]:
    """All labelled slices in a clean view; those with the structure and some without it in an augmented one."""
    if name == CLEAN:
        return [int(k) for k in np.flatnonzero(case.labelled)]
    number = int(name.split("-")[1])
    positive = sorted(case.masks)
    if case.spacing[0] < 2.5:  # neighbours that close are nearly the same slice: every other one, in turn
        positive = positive[number % 2 :: 2]
    chosen = sorted([*positive, *case.without[number % _NEGATIVE_SHARE :: _NEGATIVE_SHARE]])
    return chosen or sorted([*case.masks, *case.without])  # of very few slices none may be due


def draw_slice(
    case: Case, name: str, index: int, spec: PreprocessingSpec, seed: int, lesions: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draws a slice of a view, the same each time; with `lesions`, their share instead of the label's.

    Returns:
        Image in [0, 1] and label share in [0, 1], both (size, size) float32.
    """
    empty = np.zeros(case.axial.shape[1:], dtype=bool)
    mask = case.masks.get(index, empty)
    if name == CLEAN:
        frame = Frame.for_crop(case.crops[1], case.spacing[1:], spec.size)
        return slice_image(case.axial[index], frame, spec), frame.to_network(
            (mask if lesions is None else lesions).astype(np.float32), 0.0
        )
    text = f"{seed}/{case.name}/{name}/{index}"
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little"))
    reach = 1 if case.spacing[0] < 3.5 else 0
    low, high = max(0, index - reach), min(len(case.axial), index + reach + 1)
    if low == 0 or high == len(case.axial):
        low, high = index, index + 1
    strength = _strength(int(name.split("-")[1]))
    return augmented_view(case.axial[low:high], mask, case.spacing[1:], case.crops, spec, rng, strength, lesions)


def _strength(number: int) -> Strength:
    if number >= _STRONG_FROM:
        return STRONG
    return HARD if number >= _HARD_FROM else MILD
