"""Every member of qt, ctk, qMRML and qSlicer classes that the module uses exists in the real Slicer.

The module's files are read as they are when the test runs; nothing of them is listed here.
"""

from __future__ import annotations

from pathlib import Path

MODULE = Path(__file__).parents[2] / "SAMMixSlicer"
SOURCES = sorted(path for path in MODULE.rglob("*.py"))
# Names of modules, enumerations' holders and functions that qt and ctk have beside classes
NO_CLASSES = {"Qt"}


def _unknown(path, widgets) -> list[str]:
    from slicer_host.api_facts import has_member, is_known, normalized, qt_class, signals
    from slicer_host.api_usage import uses_in

    found = []
    for use in sorted(uses_in(path, widgets), key=lambda use: use.line):
        where = f"line {use.line}: {use.class_name}"
        if use.class_name in NO_CLASSES:
            if use.member and not hasattr(qt_class("Qt"), use.member):
                found.append(f"{where}.{use.member}")
        elif not is_known(use.class_name):
            found.append(f"{where} is in no facts")
        elif use.member and not has_member(use.class_name, use.member):
            found.append(f"{where}.{use.member}")
        elif use.signal and normalized(use.signal) not in signals(use.class_name):
            found.append(f"{where} sends no {use.signal}")
    return found


def test_what_the_module_uses_exists(app):
    from slicer_host.api_usage import ui_classes

    assert len(SOURCES) > 50
    widgets = ui_classes(MODULE)
    unknown = {path.relative_to(MODULE).as_posix(): _unknown(path, widgets) for path in SOURCES}
    assert {name: uses for name, uses in unknown.items() if uses} == {}


def test_the_classes_of_the_designer_files_exist_and_have_stand_ins(app):
    from slicer_host.api_facts import is_known
    from slicer_host.api_usage import ui_classes
    from slicer_host.widgets.registry import WIDGETS

    classes = set(ui_classes(MODULE).values())
    assert {name for name in classes if not is_known(name) and name != "Line"} == set()
    assert {name for name in classes if name.startswith(("ctk", "qMRML", "qSlicer"))} <= set(WIDGETS)


def test_a_member_that_does_not_exist_is_found(app, tmp_path):
    path = tmp_path / "wrong.py"
    path.write_text(
        "import qt, ctk, slicer\n"
        "class Panel:\n"
        "    def setup(self):\n"
        "        self.timer = qt.QTimer()\n"
        "        self.timer.pause()\n"
        "        self.timer.connect('timeout(int)', print)\n"
        "        self.ui.start.click()\n"
        "        self.ui.start.isPressedTwice\n"
        "        self.ui.start.connect('clicked(bool)', print)\n"
        "        view = slicer.app.layoutManager().sliceWidget('Red').sliceView()\n"
        "        view.paintNow()\n"
        "        view.scheduleRender()\n"
        "        box = ctk.ctkNoSuchBox()\n"
        "        qt.Qt.Horizontal, qt.Qt.Upwards\n"
        "        qt.QMessageBox.Yes, qt.QMessageBox.Perhaps\n"
        "        qt.Signal\n"
    )
    assert _unknown(path, {"start": "QPushButton"}) == [
        "line 5: QTimer.pause",
        "line 6: QTimer sends no timeout(int)",
        "line 8: QPushButton.isPressedTwice",
        "line 11: qMRMLSliceView.paintNow",
        "line 13: ctkNoSuchBox is in no facts",
        "line 14: Qt.Upwards",
        "line 15: QMessageBox.Perhaps",
        "line 16: Signal is in no facts",
    ]
