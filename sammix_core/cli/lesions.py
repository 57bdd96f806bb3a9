"""`sammix lesions`: lesions one by one, from a mask or from clicks, with a table of their sizes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sammix_core.cli import console
from sammix_core.cli.lesion_table import print_lesions, voxel_of
from sammix_core.cli.outputs import Output, check_outputs, write_together
from sammix_core.cli.progress import duration, shown_progress
from sammix_core.cli.refine_options import RefineOptions
from sammix_core.cli.segment import Device
from sammix_core.cli.segment_lesions import ORGAN_OF_LESIONS, FoundLesions
from sammix_core.errors import InputError
from sammix_core.progress import Interrupts
from sammix_core.refinement.folder import LESION, is_refiner, open_refiner

if TYPE_CHECKING:
    import numpy as np

    from sammix_core.progress import ProgressCallback
    from sammix_core.volume.volume import Volume


@dataclass(frozen=True)
class _Request:
    """What the user asked for."""

    input: Path
    output: Path
    mask: Path | None
    label: int | None
    liver: Path | None
    clicks: tuple[tuple[int, int, int], ...]
    removed: tuple[tuple[int, int, int], ...]
    candidates: bool
    model: str | None
    base_weights: Path | None
    stages: int
    report: Path | None
    device: Device
    quiet: bool

    def check(self) -> None:
        """Refuses what cannot work, before anything is loaded."""
        from sammix_core.volume_io import LABELMAP_SUFFIXES

        inputs = [path for path in (self.input, self.mask, self.liver) if path is not None]
        for path in inputs:
            if not path.exists():
                raise InputError(f"{path} does not exist.")
        outputs = [Output("--output", self.output, LABELMAP_SUFFIXES)]
        if self.report is not None:
            outputs.append(Output("--report", self.report, (".json",)))
        check_outputs(outputs, inputs)
        if self.stages and self.model is None:
            open_refiner(None, LESION)
        if self.mask is None and not self.clicks and not self.candidates:
            raise InputError(
                "There are no lesions to begin from: name a --mask, a --click in each lesion, or ask for --candidates."
            )
        if self.candidates and self.liver is None:
            raise InputError("Candidates are looked for in the liver: name its mask with --liver.")
        if self.grows and self.clicks and self.liver is None:
            raise InputError("A click grows a lesion within the liver: name the liver's mask with --liver.")
        if self.removed and not self.clicks:
            raise InputError("--not takes a place from lesions that a --click began.")
        if self.removed and not self.grows:
            raise InputError("--not is for lesions that are grown; leave --model out.")
        if self.clicks and not self.grows and not self.stages:
            raise InputError("A click begins a lesion in its first stage: --refine must be 1 or more.")

    @cached_property
    def refining(self) -> RefineOptions | None:
        """How lesions are refined slice by slice: by the shipped refiner, or where the model does that.

        Raises:
            InputError: There is no such model, or it refines something else.
        """
        from sammix_core.model_store import resolve

        slicewise = bool(self.stages) if self.model is None else is_refiner(resolve(self.model))
        if not slicewise:
            return None
        return RefineOptions(self.stages, open_refiner(self.model, LESION), self.device.value)

    @property
    def grows(self) -> bool:
        """Whether clicks grow lesions by density, and do not begin them in an M-SAM."""
        return self.model is None or self.refining is not None


def lesions(
    input: Annotated[Path, typer.Argument(help="A CT: NIfTI, NRRD, MetaImage, a DICOM file or folder.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The labelmap to write: 1 liver, 2 and up one lesion each.")
    ],
    mask: Annotated[Path | None, typer.Option(help="A labelmap of lesions to take apart.")] = None,
    label: Annotated[int | None, typer.Option(help="The mask's label of lesions; without it all but 0.")] = None,
    liver: Annotated[
        Path | None, typer.Option(help="A mask of the liver; what lies outside is no lesion of it.")
    ] = None,
    click: Annotated[list[str] | None, typer.Option(help="A voxel I,J,K in a lesion; may be given again.")] = None,
    not_: Annotated[
        list[str] | None, typer.Option("--not", help="A voxel I,J,K that is none of a clicked lesion's.")
    ] = None,
    candidates: Annotated[
        bool, typer.Option("--candidates", help="All in the liver that may be a lesion, to be looked at.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="An M-SAM, or a refiner of slices of your own.")] = None,
    base_weights: Annotated[Path | None, typer.Option(help="SAM-Med3D's weights, where the model needs them.")] = None,
    refine: Annotated[int | None, typer.Option(min=0, max=50, help="Stages of refinement for each lesion.")] = None,
    report: Annotated[Path | None, typer.Option(help="Where to write the table (sammix-lesions/1).")] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.AUTO,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Measure lesions one by one: volume, longest axial diameter (RECIST 1.1), mean HU. Experimental."""
    stages = refine if refine is not None else (0 if model is None else 3)
    clicks = tuple(voxel_of("--click", text) for text in click or ())
    removed = tuple(voxel_of("--not", text) for text in not_ or ())
    request = _Request(
        *(input, output, mask, label, liver, clicks, removed, candidates),
        *(model, base_weights, stages, report, device, quiet),
    )
    with Interrupts() as interrupts:
        _run(request, interrupts)


def _run(request: _Request, interrupts: Interrupts) -> None:
    import numpy as np

    from sammix_core.evaluation.report import RESEARCH_ONLY
    from sammix_core.lesions.candidates import lesion_candidates
    from sammix_core.lesions.components import lesion_components, lesion_labelmap
    from sammix_core.lesions.growing import grow_lesions
    from sammix_core.lesions.measure import measure_lesions
    from sammix_core.volume_io import read_volume

    started = time.monotonic()
    request.check()
    with shown_progress(quiet=request.quiet) as show:
        volume = read_volume(request.input)
        found = _mask_of(volume, request.mask, request.label)
        liver = _mask_of(volume, request.liver, None)
        if request.candidates and liver is not None:
            dark = lesion_candidates(volume, liver)
            found = dark if found is None else found | dark
            liver = liver | dark
        if request.grows and request.clicks and liver is not None:
            grown = grow_lesions(volume, liver, request.clicks, request.removed)
            found = grown if found is None else found | grown
            liver = liver | grown  # a lesion at the surface that the liver's mask leaves out
        if request.stages:
            found = _refined(request, volume, found, liver, show, interrupts)
        assert found is not None
        parts = lesion_components(volume, found if liver is None else found & liver)
        labelmap = lesion_labelmap(np.zeros_like(found) if liver is None else liver, parts)
        outcome = FoundLesions(labelmap, measure_lesions(volume, parts))
        writers: list[tuple[Path, Callable[[Path], object]]] = [(request.output, partial(outcome.write, volume))]
        if request.report is not None:
            writers.append((request.report, outcome.write_report))
        write_together(writers, interrupts)
    if not request.quiet:
        print_lesions(outcome.table)
        console.print_fields([("time", duration(time.monotonic() - started)), ("labelmap", str(request.output))])
        if request.stages and request.refining is not None:
            console.print_notes([request.refining.note])
        console.out().print(RESEARCH_ONLY, style="dim")


def _mask_of(volume: Volume, path: Path | None, label: int | None) -> np.ndarray | None:
    """(k, j, i) bool of a labelmap on the CT's grid."""
    from sammix_core.volume_io.labelmap_reading import grid_difference, read_labelmap

    if path is None:
        return None
    labelmap = read_labelmap(path)
    difference = grid_difference(labelmap, volume)
    if difference is not None:
        raise InputError(f"{path} and the CT lie on different grids ({difference}).")
    return labelmap.array == label if label else labelmap.array != 0


def _refined(
    request: _Request,
    volume: Volume,
    mask: np.ndarray | None,
    liver: np.ndarray | None,
    show: ProgressCallback,
    interrupts: Interrupts,
) -> np.ndarray:
    from sammix_core.lesions.refining import refine_lesions
    from sammix_core.refinement.msam.refine import load_network
    from sammix_core.segmentation.segmenter import Segmenter

    wish = request.refining
    if wish is not None and mask is not None:
        session = Segmenter.load(ORGAN_OF_LESIONS, device=request.device.value).open_session(volume)
        return wish.lesions(session, mask, liver, show, interrupts.asked)
    assert request.model is not None
    network = load_network(request.model, request.device.value, request.base_weights)
    return refine_lesions(network, volume, mask, request.clicks, request.stages, show, interrupts.asked)
