"""ctk widgets that are Qt's own with more to them, of which the module uses only what Qt's have already."""

from __future__ import annotations

from PySide6.QtWidgets import QCheckBox, QComboBox, QFrame, QMessageBox, QPushButton, QTextBrowser

from slicer_host.widgets.registry import stand_in


@stand_in
class ctkComboBox(QComboBox):
    """A combo box."""


@stand_in
class ctkCheckBox(QCheckBox):
    """A check box."""


@stand_in
class ctkPushButton(QPushButton):
    """A push button."""


@stand_in
class ctkMenuButton(QPushButton):
    """A push button with a menu."""


@stand_in
class ctkMessageBox(QMessageBox):
    """A message box."""


@stand_in
class ctkFittedTextBrowser(QTextBrowser):
    """A text that is as high as its lines."""


@stand_in
class ctkExpandableWidget(QFrame):
    """A frame that can be drawn larger."""
