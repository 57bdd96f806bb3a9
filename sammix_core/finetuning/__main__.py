"""`python -m sammix_core.finetuning FOLDER`: does the run in a folder; what a host starts as a process of its own.

Exit codes: 0 when it is finished, 2 when something cannot be used, 130 when it was cancelled, 1 for an error of ours.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sammix_core.errors import Cancelled, SammixError, silent_libraries
from sammix_core.finetuning.process import STOPPED, work
from sammix_core.finetuning.run_folder import FineTuneRun
from sammix_core.progress import Interrupts


def main(words: Sequence[str]) -> int:
    """Does the run; returns the exit code."""
    if len(words) != 1:
        print("Name the folder of one run.", file=sys.stderr, flush=True)
        return 2
    try:
        with silent_libraries(), Interrupts(gently=True) as interrupts:
            work(FineTuneRun.open(words[0]), cancel=interrupts.asked)
    except (Cancelled, KeyboardInterrupt):
        print(STOPPED, file=sys.stderr, flush=True)
        return 130
    except SammixError as error:
        print(str(error), file=sys.stderr, flush=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
