"""Section "Fine-tune": enabled when the core can learn from corrections."""

from __future__ import annotations

from typing import Any

from SAMMixSlicerLib.logic.fine_tuning import FineTuner
from SAMMixSlicerLib.logic.workspace import Workspace


class FineTuneSection:
    """Says whether fine-tuning can start, and starts it.

    Args:
        ui: The panel's widgets by name.
        workspace: What the logics share.
        fineTuner: Learns.
    """

    def __init__(self, ui: Any, workspace: Workspace, fineTuner: FineTuner) -> None:
        self._ui = ui
        self._fineTuner = fineTuner
        ui.fineTuneButton.connect("clicked()", lambda: workspace.attempt(fineTuner.start))
        self.refresh()

    def refresh(self) -> None:
        """Enables the button, or says why not."""
        available, reason = self._fineTuner.isAvailable()
        self._ui.fineTuneButton.setEnabled(available)
        self._ui.fineTuneLabel.setText(reason)
        self._ui.fineTuneLabel.setVisible(bool(reason))
