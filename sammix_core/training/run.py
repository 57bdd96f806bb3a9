"""`sammix train`: from a configuration to a model folder, by the method that the configuration names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sammix_core.errors import InputError
from sammix_core.model_store.store import ModelFolder
from sammix_core.progress import CancelCheck, ProgressCallback
from sammix_core.training.config_file import read_entry

TrainFunction = Callable[[str | Path, ProgressCallback | None, CancelCheck | None], ModelFolder]


def _supervised(path: str | Path, progress: ProgressCallback | None, cancel: CancelCheck | None) -> ModelFolder:
    from sammix_core.training.supervised import train_supervised

    return train_supervised(path, progress, cancel)


def _sammix(path: str | Path, progress: ProgressCallback | None, cancel: CancelCheck | None) -> ModelFolder:
    from sammix_core.training.semi_supervised.run import train_semi_supervised

    return train_semi_supervised(path, progress, cancel)


def _msam(path: str | Path, progress: ProgressCallback | None, cancel: CancelCheck | None) -> ModelFolder:
    from sammix_core.training.msam.config import MSamConfig
    from sammix_core.training.msam.train import train_msam

    return train_msam(MSamConfig.read(path), progress, cancel)


DEFAULT_METHOD = "supervised"
# A method is one module with its configuration and its function, and one entry here. The functions import when they are
# called, since each method needs other libraries.
METHODS: dict[str, TrainFunction] = {DEFAULT_METHOD: _supervised, "sammix": _sammix, "msam": _msam}


def train_from_config(
    path: str | Path, progress: ProgressCallback | None = None, cancel: CancelCheck | None = None
) -> ModelFolder:
    """Trains the model that a configuration describes and writes its folder.

    Args:
        path: The YAML file; its key `method` names one of `METHODS`, and may be missing for the default.
        progress: Called after each step of each stage.
        cancel: Polled after each step; return True to stop. What is finished stays for the next run.

    Returns:
        The model's folder.

    Raises:
        InputError: The configuration or a case cannot be used, or that version is there already.
        Cancelled: The user stopped.

    Example:
        >>> import tempfile
        >>> config = Path(tempfile.mkdtemp()) / "config.yaml"
        >>> _ = config.write_text("method: guesswork")
        >>> train_from_config(config)
        Traceback (most recent call last):
            ...
        sammix_core.errors.InputError: There is no training method 'guesswork'; choose one of msam, sammix, supervised.
    """
    name = read_entry(Path(path)).get("method", DEFAULT_METHOD)
    if not isinstance(name, str) or name not in METHODS:
        raise InputError(f"There is no training method {name!r}; choose one of {', '.join(sorted(METHODS))}.")
    return METHODS[name](path, progress, cancel)
