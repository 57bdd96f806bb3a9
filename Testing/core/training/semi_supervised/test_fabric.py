"""Several processes train one network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow


SCRIPT = """
import sys
import torch
from pathlib import Path

torch.set_num_threads(1)
sys.path.insert(0, {makers!r})
from training_cases import QuickLiteMedSam
from sammix_core.training.semi_supervised import early_stopping, run

run.LiteMedSam = lambda device, **_: QuickLiteMedSam(device)
record = early_stopping.EarlyStopping.record
ranks = Path({ranks!r})


def noted(self, step, dice, network):
    import torch.distributed as together

    total = sum(float(p.abs().double().sum()) for p in network.parameters())
    name = f"{{step}}-{{together.get_rank()}}-of-{{together.get_world_size()}}-{{together.get_backend()}}"
    (ranks / name).write_text(f"{{total!r}} {{dice!r}}")
    record(self, step, dice, network)


early_stopping.EarlyStopping.record = noted
from sammix_core.training.run import train_from_config

if __name__ == "__main__":
    print(train_from_config(sys.argv[1]).path)
"""


def test_two_processes_train_one_network(tmp_path: Path) -> None:
    from safetensors.torch import load_file
    from training_cases import write_config

    ranks = tmp_path / "ranks"
    ranks.mkdir()
    makers = str(Path(__file__).parents[3] / "makers")
    (tmp_path / "script.py").write_text(SCRIPT.format(makers=makers, ranks=str(ranks)))
    settings = {"steps": 4, "warm_up": 2, "batch": 3, "unlabelled_batch": 1, "decoded": 1, "check_every": 2}
    cases = [{"name": "anna", "ct": "anna_ct.nii.gz", "labels": "anna.json", "labelled": 3}]
    own = {"method": "sammix", "cases": cases, "views": None, "head": None, "decoder": None}
    config = write_config(tmp_path, **own, sammix=settings, accelerator="cpu", devices=2)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), str(config)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = {file.name: file.read_text() for file in ranks.iterdir()}
    assert sorted(seen) == [f"{step}-{rank}-of-2-gloo" for step in (2, 4) for rank in (0, 1)]
    for step in (2, 4):
        assert seen[f"{step}-0-of-2-gloo"] == seen[f"{step}-1-of-2-gloo"], "both have the same weights"
    model = tmp_path / "out" / "small" / "0.1.0"
    # Both write to one pipe, at times in the same line.
    assert done.stdout.split() in ([str(model)] * 2, [str(model) * 2]), "one model, both name it"
    assert all(torch.isfinite(tensor).all() for tensor in load_file(model / "weights.safetensors").values())
    assert len(list((tmp_path / "work" / "checkpoints").iterdir())) == 1
