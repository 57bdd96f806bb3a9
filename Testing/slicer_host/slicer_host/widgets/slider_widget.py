"""ctkSliderWidget: a slider with a field for the number beside it."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QSlider, QWidget

from slicer_host.widgets.registry import stand_in

_STEPS = 1000


def _of_field(name: str, type_: Any = float) -> Any:
    return Property(
        type_, lambda self: getattr(self._field, name), lambda self, value: setattr(self._field, name, value)
    )


@stand_in
class ctkSliderWidget(QWidget):
    """Slider and number hold the same value; ``valueChanged`` is sent once for a change of either."""

    valueChanged = Signal(float)
    SIGNATURES = ("valueChanged(double)",)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = QSlider(Qt.Horizontal)
        self._slider.setRange(0, _STEPS)
        self._field = QDoubleSpinBox()
        self._field.setRange(0, 99)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._field)
        self._field.valueChanged.connect(self._field_changed)
        self._slider.valueChanged.connect(self._slider_changed)

    value = _of_field("value")
    minimum = _of_field("minimum")
    maximum = _of_field("maximum")
    singleStep = _of_field("singleStep")
    decimals = _of_field("decimals", int)
    suffix = _of_field("suffix", str)
    prefix = _of_field("prefix", str)
    pageStep = Property(
        float, lambda self: self._slider.pageStep, lambda self, value: setattr(self._slider, "pageStep", round(value))
    )
    tracking = Property(
        bool, lambda self: self._slider.tracking, lambda self, value: setattr(self._slider, "tracking", value)
    )

    def setValue(self, value: float) -> None:
        self._field.setValue(value)

    def setDecimals(self, decimals: int) -> None:
        self._field.setDecimals(decimals)

    def _field_changed(self, value: float) -> None:
        lowest, highest = self._field.minimum, self._field.maximum
        share = (value - lowest) / (highest - lowest) if highest > lowest else 0
        self._slider.blockSignals(True)
        self._slider.setValue(round(_STEPS * share))
        self._slider.blockSignals(False)
        self.valueChanged.emit(value)

    def _slider_changed(self, step: int) -> None:
        lowest, highest = self._field.minimum, self._field.maximum
        self._field.setValue(lowest + (highest - lowest) * step / _STEPS)
