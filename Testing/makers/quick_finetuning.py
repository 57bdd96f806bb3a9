"""Fine-tuning in a process of its own, with the engine as it is, few steps and few slices to check on."""

from __future__ import annotations

from pathlib import Path

_SCRIPT = """
import runpy
from sammix_core.finetuning import recipe
from sammix_core.finetuning.pack import Pack
from sammix_core.training.settings import DecoderTraining, HeadTraining
head = HeadTraining({head}, batch=2, learning_rate=2e-4)
quick = recipe.Recipe(head, DecoderTraining({decoder}, batch=1, learning_rate=2e-5))
recipe.gentle = recipe.from_scratch = lambda learnt: quick
recipe.DECODER_SHARES = recipe.HEAD_SHARES = (1.0,)
recipe.CURVE_POINTS = 1
every_side = Pack.side
Pack.side = lambda pack, checked: every_side(pack, checked)[:2]  # two slices of the first patient
runpy.run_module("sammix_core.finetuning", run_name="__main__", alter_sys=True)
"""


def write_quick_script(folder: Path, head: int, decoder: int) -> Path:
    """Writes a script that does what `python -m sammix_core.finetuning` does, with so many steps for each part.

    Args:
        folder: Where it is written.
        head: Steps of the guidance head.
        decoder: Steps of prompt encoder and mask decoder.
    """
    path = folder / "quick.py"
    path.write_text(_SCRIPT.format(head=head, decoder=decoder), encoding="utf-8")
    return path
