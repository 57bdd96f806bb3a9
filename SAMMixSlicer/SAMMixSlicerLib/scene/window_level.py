"""The display window of a CT."""

from __future__ import annotations

from typing import Any

WIDTH, LEVEL = 400.0, 40.0


def setAbdomenWindow(volumeNode: Any) -> bool:
    """Sets window 400, level 40, unless someone has set a window: automatic ones are only Slicer's guess.

    Returns:
        Whether it was set.
    """
    volumeNode.CreateDefaultDisplayNodes()
    display = volumeNode.GetScalarVolumeDisplayNode()
    if display is None or not display.GetAutoWindowLevel():
        return False
    display.AutoWindowLevelOff()
    display.SetWindowLevel(WIDTH, LEVEL)
    return True
