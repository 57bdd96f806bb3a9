"""Views of the training slices: drawn, encoded once and kept on disk.

A view is either clean (the body crop that inference uses) or augmented. Views come first by number, then by case, so
that an interrupted run has something of every case. Their images are drawn again from the same seeds where a network
needs them, which takes a fraction of what encoding takes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sammix_core.datasets.augmentation import (
    FLUID,
    HARD,
    MILD,
    OTHER_LIVER,
    OTHER_SCAN,
    STRONG,
    Crop,
    Strength,
    augmented_view,
)
from sammix_core.datasets.cases import CaseConfig, LabelledCase, load_case
from sammix_core.embeddings.memory_cache import ImageEncoder
from sammix_core.embeddings.view_store import EMBEDDINGS, IMAGES, ViewStore, encode_images
from sammix_core.errors import InputError
from sammix_core.files import sha256_of
from sammix_core.preprocessing.frame import Frame
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.preprocessing.window import slice_image
from sammix_core.progress import CancelCheck, ProgressCallback, ProgressReporter
from sammix_core.training.config import TrainingConfig
from sammix_core.training.settings import FIRST
from sammix_core.training.views import CLEAN, View

RECIPE = 2  # raise when the way views are drawn changes, so that old ones are not taken for new
SHARES, SLICES = "shares", "slices"
# By the view's number, over and over; see docs/decisions/hard-views.md and views-2.md. Few views have some of each.
_STRENGTHS = (
    *(MILD, FLUID, OTHER_LIVER, OTHER_SCAN, STRONG, FLUID),
    *(MILD, OTHER_LIVER, HARD, STRONG, FLUID, OTHER_SCAN, MILD, STRONG),
)
_THICK_MM = 10.0
_NEGATIVE_SHARE = 3  # of the slices without the structure, one in three is in an augmented view


def view_names(augmented: int | Sequence[int]) -> list[str]:
    """Names of a case's views, the clean one first.

    Args:
        augmented: How many augmented ones, or their numbers.

    >>> view_names(2), view_names((0, 11))
    (['clean', 'view-00', 'view-01'], ['clean', 'view-00', 'view-11'])
    """
    numbers = range(augmented) if isinstance(augmented, int) else augmented
    return [CLEAN, *(f"view-{number:02d}" for number in numbers)]


def case_views(config: TrainingConfig, case: CaseConfig, encoder: str = "") -> ViewStore:
    """The store of a case's views; its folder's name changes with anything that changes the views.

    Args:
        config: Seed, preprocessing and where the stores lie.
        case: The case.
        encoder: Identity of the encoder, see `ViewEncoder.identity`; "" for LiteMedSAM's own in float32, and for
            images, which go through none.
    """
    drawn = config.preprocessing.to_dict()
    labels = "" if case.labels is None else sha256_of(case.labels)
    parts = [RECIPE, config.seed, drawn, list(case.values), case.ct.name, labels, *([encoder] if encoder else [])]
    return ViewStore.keyed(config.work / "views", case.name, parts)


def prepare_views(
    config: TrainingConfig,
    encoder: ImageEncoder,
    progress: ProgressCallback | None,
    cancel: CancelCheck | None,
    identity: str = "",
) -> list[View]:
    """Makes the views that are not there yet and opens all.

    Args:
        config: Cases, number of views, preprocessing and seed.
        encoder: Encodes.
        progress: Called after each slice.
        cancel: Polled after each slice; return True to stop.
        identity: The encoder's, as for `case_views`.

    Raises:
        InputError: A case cannot be used, or the disk is full.
        Cancelled: The user stopped; views that are complete stay.
    """
    stores = {case.name: case_views(config, case, identity) for case in config.cases}
    names = view_names(config.views)
    parts = (SHARES, SLICES, EMBEDDINGS)
    missing = [(name, case) for name in names for case in config.cases if not stores[case.name].has(name, parts)]
    if missing:
        cases = {case.name: load_case(case) for case in config.cases}
        total = sum(slice_count(cases[case.name], name) for name, case in missing)
        stage = ProgressReporter("views", total, progress, cancel)
        for name, case in missing:
            make_view(cases[case.name], name, stores[case.name], encoder, config, stage.step)
    return [open_view(case, name, stores[case.name]) for case in config.cases for name in names]


def count_slices(config: TrainingConfig) -> dict[str, int]:
    """How many slices a training encodes of each case, nothing of it being there yet.

    Args:
        config: The configuration; with LoRA trained first, its own views count beside the others.

    Raises:
        InputError: A case cannot be used.
    """
    names = view_names(config.views)
    if config.lora is not None and config.lora.order == FIRST:
        names += view_names(config.lora.views)
    counts = {}
    for entry in config.cases:
        case = load_case(entry)
        counts[entry.name] = sum(slice_count(case, name) for name in names)
    return counts


def prepare_images(
    config: TrainingConfig, views: Sequence[View], progress: ProgressCallback | None, cancel: CancelCheck | None
) -> list[np.ndarray]:
    """Draws the images of views that are not there yet and opens all, for networks that are trained on images.

    Args:
        config: The configuration that the views were made from.
        views: The views.
        progress: Called after each image.
        cancel: Polled after each image; return True to stop.

    Returns:
        For each view (n, size, size) float16 in [0, 1], memory-mapped.

    Raises:
        InputError: A view was drawn in another way than this version draws.
        Cancelled: The user stopped; files that are complete stay.
    """
    configs = {case.name: case for case in config.cases}
    stores = {name: case_views(config, case) for name, case in configs.items()}
    missing = [view for view in views if not stores[view.case].has(view.name, (IMAGES,))]
    if missing:
        cases = {name: load_case(configs[name]) for name in {view.case for view in missing}}
        stage = ProgressReporter("images of the views", sum(len(view.slices) for view in missing), progress, cancel)
        for view in missing:
            stores[view.case].write(view.name, {IMAGES: _draw_images(config, cases[view.case], view, stage)})
    return [stores[view.case].open(view.name, IMAGES) for view in views]


def _draw_images(config: TrainingConfig, case: LabelledCase, view: View, stage: ProgressReporter) -> np.ndarray:
    images = []
    for index, stored_share in zip(view.slices, view.shares, strict=True):
        image, share = draw_slice(case, view.name, int(index), config.preprocessing, config.seed)
        if not np.array_equal(_as_bytes(share), stored_share):
            raise InputError(
                f"The view {view.name} of {case.name} was drawn in another way than now; "
                f"delete {config.work / 'views'}."
            )
        images.append(image.astype(np.float16))
        stage.step()
    return np.stack(images)


def make_view(
    case: LabelledCase,
    name: str,
    store: ViewStore,
    encoder: ImageEncoder,
    config: TrainingConfig,
    on_slice: Callable[[], None],
) -> None:
    """Draws a view's images, encodes them and writes the view.

    Args:
        case: The case.
        name: The view's name.
        store: Where to write.
        encoder: Encodes.
        config: Preprocessing and seed; with case, view and slice the seed decides what is drawn.
        on_slice: Called after each slice; may raise to stop.
    """
    slices = _slices_of(case, name)
    shares = []

    def images() -> Iterator[np.ndarray]:
        for index in slices:
            image, share = draw_slice(case, name, index, config.preprocessing, config.seed)
            shares.append(_as_bytes(share))
            yield image

    embeddings = encode_images(encoder, images(), on_slice)
    store.write(name, {SHARES: np.stack(shares), SLICES: np.array(slices), EMBEDDINGS: embeddings})


def open_view(case: CaseConfig, name: str, store: ViewStore) -> View:
    """Opens a view that was made."""
    embeddings, shares, slices = (store.open(name, array) for array in (EMBEDDINGS, SHARES, SLICES))
    return View(case.name, name, embeddings, shares, slices, case.patient)


def slice_count(case: LabelledCase, name: str) -> int:
    """How many slices a view has, for progress."""
    return len(_slices_of(case, name))


def _slices_of(case: LabelledCase, name: str) -> list[int]:
    """All labelled slices in a clean view; those with the structure and some without it in an augmented one."""
    if name == CLEAN:
        return [int(k) for k in np.flatnonzero(case.labelled)]
    number = int(name.split("-")[1])
    positive = sorted(case.masks)
    if case.spacing[0] < 2.5:  # neighbours that close are nearly the same slice: every other one, in turn
        positive = positive[number % 2 :: 2]
    chosen = sorted([*positive, *case.absent[number % _NEGATIVE_SHARE :: _NEGATIVE_SHARE]])
    return chosen or sorted([*case.masks, *case.absent])  # of very few slices none may be due


def draw_slice(
    case: LabelledCase, name: str, index: int, spec: PreprocessingSpec, seed: int, lesions: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draws a slice of a view, the same each time.

    Args:
        case: The case.
        name: The view's name.
        index: Canonical slice.
        spec: The preprocessing.
        seed: With case, view and slice, decides what is drawn.
        lesions: (rows, cols) bool whose share is returned instead of the label's, or None.

    Returns:
        Image in [0, 1] and label share in [0, 1], both (size, size) float32.
    """
    mask = case.masks.get(index, np.zeros(case.axial.shape[1:], dtype=bool))
    crops = case.crops(spec)
    if name == CLEAN:
        frame = Frame.for_crop(crops[1], case.spacing[1:], spec.size)
        return slice_image(case.axial[index], frame, spec), frame.to_network(
            (mask if lesions is None else lesions).astype(np.float32), 0.0
        )
    text = f"{seed}/{case.name}/{name}/{index}"
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little"))
    return draw_augmented(case, index, spec, rng, _strength(int(name.split("-")[1])), lesions)


def draw_augmented(
    case: LabelledCase,
    index: int,
    spec: PreprocessingSpec,
    rng: np.random.Generator,
    strength: Strength,
    lesions: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws an augmented view of a case's slice, with its neighbours for thick slices.

    Args:
        case: The case.
        index: Canonical slice.
        spec: The preprocessing.
        rng: Random source.
        strength: What is drawn, and how far it goes.
        lesions: (rows, cols) bool whose share is returned instead of the label's, or None.

    Returns:
        Image in [0, 1] and label share in [0, 1], both (size, size) float32.
    """
    mask = case.masks.get(index, np.zeros(case.axial.shape[1:], dtype=bool))
    low, high = _slab(case, index, rng)
    label = mask
    if case.labelled[low:high].all():
        label = np.stack([case.masks.get(k, np.zeros_like(mask)) for k in range(low, high)])
    extent = _extent(case)
    crops = case.crops(spec) if extent is None else (*case.crops(spec), extent)
    return augmented_view(case.axial[low:high], label, case.spacing[1:], crops, spec, rng, strength, lesions)


def _slab(case: LabelledCase, index: int, rng: np.random.Generator) -> tuple[int, int]:
    """Slices that a thick one of at most 10 mm averages, half-open; the slice is the (high - low) // 2nd of them.

    An even number lies unevenly about the slice, so it is taken only where all have labels.
    """
    most = max(1, int(_THICK_MM / case.spacing[0] + 0.01))
    count = int(rng.integers(2, most + 1)) if most > 1 else 1
    for number in range(count, 1, -1):
        low = index - number // 2
        known = low >= 0 and low + number <= len(case.axial)
        if known and (number % 2 == 1 or case.labelled[low : low + number].all()):
            return low, low + number
    return index, index + 1


def _extent(case: LabelledCase) -> Crop | None:
    """The box round the structure on all slices, (row_min, col_min, row_max, col_max); None where there is none."""
    shown = np.zeros(case.axial.shape[1:], dtype=bool)
    for mask in case.masks.values():
        shown |= mask
    if not shown.any():
        return None
    rows, cols = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    return int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1


def _as_bytes(share: np.ndarray) -> np.ndarray:
    """A share in [0, 1] as uint8 from 0 to 255."""
    return np.round(share * 255).astype(np.uint8)


def _strength(number: int) -> Strength:
    return _STRENGTHS[number % len(_STRENGTHS)]
