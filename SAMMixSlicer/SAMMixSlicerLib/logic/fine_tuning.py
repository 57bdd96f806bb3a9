"""Fine-tuning on corrected cases, behind an interface; this version has none to offer."""

from __future__ import annotations

from typing import Protocol

from slicer.i18n import tr as _


class FineTuner(Protocol):
    """What the section "Fine-tune" needs."""

    def isAvailable(self) -> tuple[bool, str]:
        """Whether fine-tuning can start, and if not, why, in a sentence."""
        ...

    def start(self) -> None:
        """Starts it on the corrected cases."""
        ...


class NoFineTuner:
    """What there is before the core can fine-tune."""

    def isAvailable(self) -> tuple[bool, str]:
        """Never, with the reason."""
        return False, _(
            "Learning from your corrected slices comes with a later version of SAMMix. "
            "Corrected slices are kept in the scene until then."
        )

    def start(self) -> None:
        """Cannot be reached: the section is disabled.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError
