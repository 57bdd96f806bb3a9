"""The model folder that a training writes: its manifest and its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from sammix_core.datasets.cases import CaseConfig
from sammix_core.errors import InputError
from sammix_core.model_store.base_weights import LITE_MEDSAM
from sammix_core.model_store.manifest import Manifest
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.segmentation.following.settings import FollowSettings


class NamedConfig(Protocol):
    """What a manifest takes from a training configuration, whatever its method."""

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    @property
    def version(self) -> str:
        """The model's version."""
        ...

    @property
    def target(self) -> str:
        """What the model segments."""
        ...

    @property
    def cases(self) -> Sequence[CaseConfig]:
        """What is trained on."""
        ...


class SliceConfig(NamedConfig, Protocol):
    """A configuration of a model that segments slices."""

    @property
    def preprocessing(self) -> PreprocessingSpec:
        """Window, size and crop."""
        ...


def new_manifest(config: NamedConfig, **values: Any) -> Manifest:
    """The manifest of the model that a configuration describes.

    Args:
        config: Name, version, target and cases.
        values: The manifest's other fields.

    Raises:
        InputError: A value cannot be.
    """
    return Manifest.of_today(
        name=config.name,
        version=config.version,
        target=config.target,
        training_cases=[case.name for case in config.cases],
        **values,
    )


def litemedsam_manifest(
    config: SliceConfig, guidance: Mapping[str, Any], masks: Mapping[str, Any], metrics: Mapping[str, Any]
) -> Manifest:
    """The manifest of a model of slices on top of LiteMedSAM.

    Args:
        config: The configuration.
        guidance: Name and settings of the guidance.
        masks: Settings of the masks.
        metrics: Measured figures.

    Raises:
        InputError: A value cannot be.
    """
    return new_manifest(
        config,
        base_model={"name": LITE_MEDSAM.name, "sha256": LITE_MEDSAM.sha256},
        preprocessing=config.preprocessing.to_dict(),
        guidance={"following": FollowSettings().to_dict(), **guidance},
        postprocessing=dict(masks),
        metrics=dict(metrics),
    )


def check_free(manifest: Manifest, output: Path) -> str:
    """Refuses a version that is there already, before hours of work.

    Args:
        manifest: Of the model that is to be written.
        output: The folder of models.

    Returns:
        The model, as "liver/1.0.0".

    Raises:
        InputError: That version is there.
    """
    if (output / manifest.spec).exists():
        raise InputError(
            f"The model {manifest.spec} is there already, in {output / manifest.spec}; choose another version."
        )
    return manifest.spec


def model_card(folder: Path, spec: str) -> str:
    """The model card that lies beside a configuration, or a line that there is none.

    Args:
        folder: Where the configuration lies.
        spec: The model, as "liver/1.0.0".
    """
    card = folder / "MODEL_CARD.md"
    return card.read_text(encoding="utf-8") if card.is_file() else f"# {spec}\n\nNo card was written.\n"
