"""Learning from the user's own corrections: the corrections on disk, and the process that learns from them.

Nothing here needs torch but the process itself (`python -m sammix_core.finetuning FOLDER`) and `from_session`, so that
a host can keep corrections, start runs and read their events. See docs/finetuning.md.
"""

from sammix_core.datasets.correction import Correction, Source, case_key, corrections_of_volume
from sammix_core.datasets.correction_file import Entry
from sammix_core.datasets.correction_set import CorrectionSet, default_corrections_folder, is_correction_set
from sammix_core.finetuning.result import Figure, FineTuneResult
from sammix_core.finetuning.run_folder import FineTuneRun, runs_folder
from sammix_core.finetuning.settings import FineTuneSettings

__all__ = [
    "Correction",
    "CorrectionSet",
    "Entry",
    "Figure",
    "FineTuneResult",
    "FineTuneRun",
    "FineTuneSettings",
    "Source",
    "case_key",
    "corrections_of_volume",
    "default_corrections_folder",
    "is_correction_set",
    "runs_folder",
]
