"""`sammix lesions`: measures lesions one by one, from a mask or from clicks."""

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
from sammix_core.cli.options import Device, DeviceName, Quiet, ValuesAreHu, option_groups
from sammix_core.cli.outputs import Output, check_outputs, write_together
from sammix_core.cli.progress import duration, shown_progress
from sammix_core.cli.refine_options import ChosenRefiner
from sammix_core.cli.segment_lesions import ORGAN_OF_LESIONS, LesionResult
from sammix_core.errors import InputError
from sammix_core.progress import Interrupts
from sammix_core.refinement.folder import LESION, is_refiner, open_refiner

if TYPE_CHECKING:
    import numpy as np

    from sammix_core.progress import ProgressCallback
    from sammix_core.volume.volume import Volume


@dataclass(frozen=True)
class LesionFiles:
    """The files that `sammix lesions` reads, and the labelmap that it writes."""

    input: Annotated[Path, typer.Argument(help="A CT: NIfTI, NRRD, MetaImage, a DICOM file or folder.")]
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The labelmap to write: 1 liver, 2 and up one lesion each.")
    ]
    values_are_hu: ValuesAreHu = False
    mask: Annotated[
        Path | None, typer.Option(help="Lesions, which are separated: a labelmap, DICOM SEG or RTSTRUCT.")
    ] = None
    label: Annotated[
        str | None, typer.Option(help="The mask's label of lesions, or a segment's name; without it all but 0.")
    ] = None
    liver: Annotated[Path | None, typer.Option(help="A mask of the liver; voxels outside are dropped.")] = None
    liver_label: Annotated[
        str | None, typer.Option(help="The label of --liver, or its segment's name; without it all but 0.")
    ] = None

    def check(self, report: Path | None) -> None:
        """Refuses inputs that are missing and outputs that cannot be written.

        Args:
            report: A further JSON output.

        Raises:
            InputError: Such a file.
        """
        from sammix_core.volume_io import LABELMAP_SUFFIXES

        inputs = [path for path in (self.input, self.mask, self.liver) if path is not None]
        for path in inputs:
            if not path.exists():
                raise InputError(f"{path} does not exist.")
        outputs = [Output("--output", self.output, LABELMAP_SUFFIXES)]
        if report is not None:
            outputs.append(Output("--report", report, (".json",)))
        check_outputs(outputs, inputs)


@dataclass(frozen=True)
class ClickOptions:
    """How lesions are found without a mask."""

    click: Annotated[list[str] | None, typer.Option(help="A voxel I,J,K in a lesion; may be given again.")] = None
    not_: Annotated[
        list[str] | None, typer.Option("--not", help="A voxel I,J,K outside the clicked lesions; may be given again.")
    ] = None
    candidates: Annotated[
        bool, typer.Option("--candidates", help="Everything in the liver that may be a lesion; check each.")
    ] = False

    @cached_property
    def inside(self) -> tuple[tuple[int, int, int], ...]:
        """Voxels (i, j, k) in lesions.

        Raises:
            InputError: A click is no voxel.
        """
        return tuple(voxel_of("--click", text) for text in self.click or ())

    @cached_property
    def outside(self) -> tuple[tuple[int, int, int], ...]:
        """Voxels (i, j, k) outside the clicked lesions.

        Raises:
            InputError: A click is no voxel.
        """
        return tuple(voxel_of("--not", text) for text in self.not_ or ())


@dataclass(frozen=True)
class RefineLesionOptions:
    """How lesions are refined: by the shipped refiner, one of the user's own, or an M-SAM."""

    model: Annotated[str | None, typer.Option(help="An M-SAM, or a refiner of slices of your own.")] = None
    base_weights: Annotated[Path | None, typer.Option(help="SAM-Med3D's weights, where the model needs them.")] = None
    refine: Annotated[int | None, typer.Option(min=0, max=50, help="Stages of refinement for each lesion.")] = None

    @property
    def stages(self) -> int:
        """Stages of refinement for each lesion."""
        if self.refine is not None:
            return self.refine
        return 0 if self.model is None else 3

    def slice_refiner(self, device: Device) -> ChosenRefiner | None:
        """The refiner of slices; None where lesions are not refined, or by an M-SAM.

        Raises:
            InputError: There is no such model, or it refines something else.
        """
        from sammix_core.model_store import resolve

        slicewise = bool(self.stages) if self.model is None else is_refiner(resolve(self.model))
        if not slicewise:
            return None
        return ChosenRefiner(self.stages, open_refiner(self.model, LESION), device.value)


@dataclass(frozen=True)
class _LesionTask:
    """One run of the command.

    Attributes:
        refiner: Refines slices; None without refinement or with an M-SAM.
    """

    files: LesionFiles
    clicks: ClickOptions
    refinement: RefineLesionOptions
    device: Device
    refiner: ChosenRefiner | None

    @property
    def grows(self) -> bool:
        """Whether clicks grow lesions by density, instead of starting them in an M-SAM."""
        return self.refinement.model is None or self.refiner is not None

    def check(self) -> None:
        """Refuses options that do not fit each other, before anything is loaded.

        Raises:
            InputError: Such options.
        """
        files, candidates = self.files, self.clicks.candidates
        inside, outside = self.clicks.inside, self.clicks.outside
        if files.mask is None and not inside and not candidates:
            raise InputError("There are no lesions yet: name a --mask, a --click in each lesion, or --candidates.")
        if candidates and files.liver is None:
            raise InputError("Candidates are searched for in the liver: name its mask with --liver.")
        if self.grows and inside and files.liver is None:
            raise InputError("A click grows a lesion within the liver: name the liver's mask with --liver.")
        if outside and not inside:
            raise InputError("--not goes with --click.")
        if outside and not self.grows:
            raise InputError("--not does not go with an M-SAM; leave --model out.")
        if inside and not self.grows and not self.refinement.stages:
            raise InputError("An M-SAM needs a stage for each click: --refine must be 1 or more.")

    def find(self, volume: Volume, show: ProgressCallback, interrupts: Interrupts) -> LesionResult:
        """Finds, refines and measures the lesions.

        Raises:
            InputError: A mask or a click cannot be used.
            Cancelled: The user stopped.
        """
        import numpy as np

        from sammix_core.lesions.candidates import lesion_candidates
        from sammix_core.lesions.components import lesion_components, lesion_labelmap
        from sammix_core.lesions.growing import grow_lesions
        from sammix_core.lesions.measure import measure_lesions

        clicks = self.clicks
        mask = _mask_of(volume, self.files.mask, self.files.label)
        liver = _mask_of(volume, self.files.liver, self.files.liver_label)
        if clicks.candidates and liver is not None:
            dark = lesion_candidates(volume, liver)
            mask = dark if mask is None else mask | dark
            liver = liver | dark
        if self.grows and clicks.inside and liver is not None:
            grown = grow_lesions(volume, liver, clicks.inside, clicks.outside)
            mask = grown if mask is None else mask | grown
            liver = liver | grown  # a lesion at the surface that the liver's mask leaves out
        if self.refinement.stages:
            mask = self._refined(volume, mask, liver, show, interrupts)
        if mask is None:
            raise InputError("There are no lesions yet: name a --mask, a --click in each lesion, or --candidates.")
        components = lesion_components(volume, mask if liver is None else mask & liver)
        labelmap = lesion_labelmap(np.zeros_like(mask) if liver is None else liver, components)
        return LesionResult(labelmap, measure_lesions(volume, components))

    def _refined(
        self,
        volume: Volume,
        mask: np.ndarray | None,
        liver: np.ndarray | None,
        show: ProgressCallback,
        interrupts: Interrupts,
    ) -> np.ndarray | None:
        if self.refiner is not None and mask is not None:
            from sammix_core.segmentation.segmenter import Segmenter

            session = Segmenter.load(ORGAN_OF_LESIONS, device=self.device.value).open_session(volume)
            return self.refiner.lesions(session, mask, liver, show, interrupts.asked)
        options = self.refinement
        if options.model is None:
            return mask
        from sammix_core.lesions.refining import refine_lesions_with_msam
        from sammix_core.refinement.msam.refine import load_network

        network = load_network(options.model, self.device.value, options.base_weights)
        clicks = self.clicks.inside
        return refine_lesions_with_msam(network, volume, mask, clicks, options.stages, show, interrupts.asked)


@option_groups
def lesions(
    files: LesionFiles,
    clicks: ClickOptions,
    refinement: RefineLesionOptions,
    report: Annotated[Path | None, typer.Option(help="Where to write the table (sammix-lesions/1).")] = None,
    device: DeviceName = Device.AUTO,
    quiet: Quiet = False,
) -> None:
    """Measure lesions one by one: volume, longest axial diameter (RECIST 1.1), mean HU. Experimental."""
    from sammix_core.evaluation.report import RESEARCH_ONLY
    from sammix_core.volume_io import read_volume

    with Interrupts() as interrupts:
        started = time.monotonic()
        files.check(report)
        task = _LesionTask(files, clicks, refinement, device, refinement.slice_refiner(device))
        task.check()
        with shown_progress(quiet=quiet) as show:
            volume = read_volume(files.input, values_are_hu=files.values_are_hu)
            result = task.find(volume, show, interrupts)
            writers: list[tuple[Path, Callable[[Path], object]]] = [(files.output, partial(result.write, volume))]
            if report is not None:
                writers.append((report, result.write_report))
            write_together(writers, interrupts)
        if not quiet:
            print_lesions(result.table)
            console.print_fields([("time", duration(time.monotonic() - started)), ("labelmap", str(files.output))])
            if task.refiner is not None and refinement.stages:
                console.print_notes([task.refiner.note])
            console.out().print(RESEARCH_ONLY, style="dim")


def _mask_of(volume: Volume, path: Path | None, label: str | None) -> np.ndarray | None:
    """(k, j, i) bool of a labelmap on the CT's grid."""
    from sammix_core.volume_io.labelmap_reading import read_labels_on_ct

    if path is None:
        return None
    labelmap = read_labels_on_ct(path, volume, path.name)
    return labelmap.mask(None if label is None else labelmap.label_of(label))
