"""Makes the pictures of the tutorial and the extension's screenshot: the module at work in the headless Slicer.

    make screenshots     (or: python benchmarks/screenshots.py --ct ../shared/data/crlm1004_ct.nii.gz)

The pictures of corrections are made by correction_screenshots.py.

Everything in them is real: the CT is segmented, the button is clicked and the box dragged as a user would, and the
views are drawn by Slicer's own libraries. The widgets of the panel are Qt's, in Qt's plain style and not in Slicer's.
The CT is crlm1004 of TCIA's Colorectal-Liver-Metastases (doi 10.7937/QXK2-QG03, CC BY 4.0), or else the demo case
(LiTS 117).
"""

from __future__ import annotations

import argparse
import atexit
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
LABELS = ROOT / "benchmarks" / "liver_model" / "labels"
LESION_LABELS = ROOT / "benchmarks" / "lesion_model" / "labels"
TUTORIAL = ROOT / "docs" / "images" / "tutorial"
OVERVIEW = ROOT / "Resources" / "Screenshots" / "overview.png"
WINDOW = (1500, 940)  # pixels
_COLOURS = 256
RUN_S = 3600.0
_CORRECTED = 6  # slices
SECTIONS = [
    f"{name}Section" for name in ("input", "slices", "correct", "show", "lesions", "fineTune", "export", "about")
]

sys.path += [str(ROOT), *(str(ROOT / "Testing" / name) for name in ("slicer_host", "makers"))]


def picture(widget: Any) -> Image.Image:
    """What a widget shows."""
    from PySide6.QtGui import QImage

    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return Image.fromarray(rows[:, : image.width() * 3].reshape(image.height(), image.width(), 3).copy())


def save(image: Image.Image, path: Path, method: Image.Quantize = Image.Quantize.MEDIANCUT) -> None:
    """Write a picture small enough for a repository."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(_COLOURS, method, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e3:.0f} kB")


def beside(*images: Image.Image, gap: int = 8) -> Image.Image:
    """Pictures of one height in a row."""
    width = sum(image.width for image in images) + gap * (len(images) - 1)
    row = Image.new("RGB", (width, images[0].height), "white")
    x = 0
    for image in images:
        row.paste(image, (x, 0))
        x += image.width + gap
    return row


def _largest_slice(driver: Any) -> int:
    return int(np.argmax(driver.mask().reshape(len(driver.mask()), -1).sum(axis=1)))


def _is_drawn(volume_id: str | None, index: int) -> bool:
    """Whether a volume of the scene has anything on a slice yet."""
    import slicer

    node = slicer.mrmlScene.GetNodeByID(volume_id) if volume_id else None
    return node is not None and bool(slicer.util.arrayFromVolume(node)[index].any())


def _zoom(driver: Any, index: int, share: float = 0.62) -> None:
    """Have every slice view look at the middle of the liver, from nearer.

    Args:
        driver: of the panel.
        index: the slice for the axial view.
        share: of the field of view that is left.
    """
    import slicer
    from SAMMixSlicerLib.scene.geometry import ijkToWorld

    _, rows, columns = np.nonzero(driver.mask()[index][None])
    centre = ijkToWorld(driver.case.volumeNode) @ [np.mean(columns), np.mean(rows), index, 1.0]
    for name in slicer.app.layoutManager().sliceViewNames():
        node = slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode()
        width, height, depth = node.GetFieldOfView()
        node.SetFieldOfView(width * share, height * share, depth)
        node.JumpSliceByCentering(*centre[:3])
    slicer.app.processEvents()


def _turn_3d() -> Any:
    """Have the 3-D view look from the front and a little from above, with nothing but the surfaces in it."""
    import slicer

    threed = slicer.app.layoutManager().threeDWidget(0).threeDView()
    threed.mrmlViewNode().SetBoxVisible(False)
    threed.mrmlViewNode().SetAxisLabelsVisible(False)
    threed.offscreen.look_from("anterior")
    threed.offscreen.turn(-20, 10)
    threed.offscreen.renderer.GetActiveCamera().Zoom(1.3)
    return threed


def take(driver: Any, volume_node: Any) -> None:
    """Work through a case and write a picture of every step.

    Args:
        driver: of the module's panel, in the main window.
        volume_node: the CT.
    """
    import slicer
    from slicer_host import mouse

    window, layout = slicer.util.mainWindow(), slicer.app.layoutManager()
    view = driver.red.sliceView()
    driver.choose(volume_node)
    mouse.wait_until(lambda: driver.ui.segmentButton.enabled and "(" in driver.ui.targetBox.currentText, 120)
    save(picture(window), TUTORIAL / "1_choose.png")

    driver.click("segmentButton")
    mouse.wait_until(lambda: driver.ui.progressBar.value > driver.ui.progressBar.maximum / 2, RUN_S)
    save(picture(window), TUTORIAL / "2_running.png")
    driver.wait(RUN_S)
    # Then the status line gives a reason for a look, and not the seconds of a machine that may have been busy.
    mouse.wait_until(lambda: driver.ui.nextReviewButton.enabled, 30)
    driver.click("nextReviewButton")
    driver.go_to(_largest_slice(driver))
    _zoom(driver, _largest_slice(driver))
    driver.click("surfaceButton")
    driver.wait(RUN_S)
    threed = _turn_3d()
    save(picture(window), OVERVIEW)
    save(picture(threed), TUTORIAL / "6_surface.png")

    driver.click("fillCheck")
    outline = picture(view)
    driver.click("mapCheck")
    composite = driver.red.mrmlSliceCompositeNode()
    mouse.wait_until(lambda: _is_drawn(composite.GetForegroundVolumeID(), _largest_slice(driver)), 120)
    save(beside(outline, picture(view)), TUTORIAL / "4_map.png")
    driver.click("mapCheck")
    driver.click("fillCheck")

    driver.click("plotButton")
    slicer.app.processEvents()
    save(picture(layout.plotWidget(0)), TUTORIAL / "5_plot.png")


def find_lesions(driver: Any, name: str) -> None:
    """Look for lesions, reject some candidates, click on what our labels have, and write a picture of the section.

    Args:
        driver: of the panel, with its case segmented.
        name: of the case.
    """
    import slicer

    from sammix_core.datasets.labels import CaseLabels
    from sammix_core.lesions.growing import deepest_voxel
    from sammix_core.masks.packed_mask import BoxedMask

    show_only(driver, "lesionsSection")
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    driver.click("boxesCheck")
    driver.ui.showSection.collapsed = True
    driver.find()
    for _ in range(len(driver.rows) // 2):
        driver.ui.lesionTable.selectRow(driver.statuses().index("candidate"))
        driver.click("rejectLesionButton")
    path = LESION_LABELS / f"{name}.json"
    labels = np.zeros(driver.case.shapeKji, dtype=bool)
    for index, plane in (CaseLabels.read(path).masks if path.is_file() else {}).items():
        labels[index] = plane
    if labels.any():
        i, j, k = deepest_voxel(BoxedMask.pack(labels))
        look_at(driver, (i, j, k), 150.0)
        driver.click("addLesionButton")
        driver.click_at((k, j, i))
        driver.click("addLesionButton")
        driver.logic.lesions.jumpTo(driver.logic.lesionClicks.selected)
    if not driver.ui.surfaceButton.checked:
        driver.click("surfaceButton")
        driver.wait(RUN_S)
    driver.ui.showSection.collapsed = True
    driver.case.segmentationNode.GetDisplayNode().SetSegmentOpacity3D(driver.case.segmentId, 0.35)
    _turn_3d()
    slicer.app.processEvents()
    save(picture(slicer.util.mainWindow()), TUTORIAL / "8_lesions.png", Image.Quantize.FASTOCTREE)
    driver.case.segmentationNode.GetDisplayNode().SetSegmentOpacity3D(driver.case.segmentId, 1.0)
    driver.click("boxesCheck")


def look_at(driver: Any, ijk: tuple[int, int, int], millimetres: float) -> None:
    """Have the axial view show so many millimetres round a voxel."""
    from SAMMixSlicerLib.scene.geometry import ijkToWorld

    node = driver.red.mrmlSliceNode()
    width, height, depth = node.GetFieldOfView()
    node.SetFieldOfView(millimetres * width / height, millimetres, depth)
    node.JumpSliceByCentering(*(ijkToWorld(driver.case.volumeNode) @ [*ijk, 1.0])[:3])


def show_only(driver: Any, opened: str) -> None:
    """Open one section and close the others, so that all of it is in the picture."""
    for section in SECTIONS:
        getattr(driver.ui, section).collapsed = section != opened


def correct(driver: Any, name: str) -> None:
    """Bring some slices to what our labels say, as the Segment Editor changes a segment; else keep them as they are.

    Args:
        driver: of the panel.
        name: of the case.
    """
    import slicer
    from slicer_host import mouse

    from sammix_core.datasets.labels import CaseLabels

    kept = driver.ui.correctionsTable
    used = np.flatnonzero(driver.mask().any(axis=(1, 2)))
    chosen = used[np.linspace(0, len(used) - 1, _CORRECTED + 2).astype(int)[1:-1]]
    path = LABELS / f"{name}.json"
    labels = CaseLabels.read(path).masks if path.is_file() else {}
    for count, index in enumerate(chosen.tolist(), start=1):
        driver.go_to(index)
        mask = driver.mask()
        if index in labels and not np.array_equal(labels[index], mask[index] > 0):
            mask[index] = labels[index]
            node, segment_id = driver.case.segmentationNode, driver.case.segmentId
            slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment_id, driver.case.volumeNode)
        else:
            driver.click("acceptButton")
        mouse.wait_until(lambda count=count: kept.rowCount == count, 120)


def fine_tune(driver: Any, name: str) -> None:
    """Correct some slices, learn from them, and write a picture of the section beside the curves.

    Args:
        driver: of the panel, with its case segmented.
        name: of the case.
    """
    import slicer
    from slicer_host import mouse

    show_only(driver, "fineTuneSection")
    correct(driver, name)
    tuning = driver.logic.fineTuning
    driver.click("fineTuneButton")
    mouse.wait_until(lambda: tuning.state in ("finished", "failed"), RUN_S)
    if tuning.state == "failed":
        raise SystemExit(driver.status)
    driver.click("curvesButton")
    slicer.app.processEvents()
    save(picture(slicer.util.mainWindow()), TUTORIAL / "7_finetune.png")


def opened(ct: Path) -> tuple[Any, Any, Any]:
    """Starts the host, and loads a CT and the module into its window.

    Returns:
        The panel's driver, the CT's node, and the loaded module.
    """
    from slicer_host import environment

    # What is corrected here is none of the user's own corrections.
    home = tempfile.TemporaryDirectory(prefix="sammix-screenshots-")
    atexit.register(home.cleanup)
    os.environ["SAMMIX_HOME"] = home.name
    reason = environment.why_unavailable()
    if reason:
        raise SystemExit(reason)
    from slicer_host.host import start
    from slicer_host.module_loader import load_module

    start()
    import slicer
    from lesion_panel import LesionPanel
    from panel_driver import MODULE

    window = slicer.util.mainWindow()
    window.resize(*WINDOW)
    window.show()
    volume_node = slicer.util.loadVolume(str(ct), {"name": ct.name.split("_ct")[0].split(".")[0]})
    loaded = load_module(MODULE, show=False)
    slicer.util.selectModule(loaded.panel.moduleName)
    return LesionPanel(loaded), volume_node, loaded


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ct", type=Path, required=True)
    parser.add_argument("--lesions", action="store_true", help="the picture of the lesions alone")
    arguments = parser.parse_args()
    driver, volume_node, loaded = opened(arguments.ct)
    if arguments.lesions:
        driver.segment(volume_node)
        driver.go_to(_largest_slice(driver))
        _zoom(driver, _largest_slice(driver))
    else:
        take(driver, volume_node)
    find_lesions(driver, volume_node.GetName())
    if not arguments.lesions:
        fine_tune(driver, volume_node.GetName())
    loaded.close()


if __name__ == "__main__":
    main()
