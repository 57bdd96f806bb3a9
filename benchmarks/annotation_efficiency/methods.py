"""The methods that are compared, and what each of them is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sammix_core.guidance.resnet38_cam import NAME as RESNET38
from sammix_core.training.semi_supervised.settings import SamMixTraining

from .cells import CEILING, PATIENTS

COUNTS = (5, 10, 20, 50)
FEW_AND_MANY = (5, 50)
SEEDS = (0, 1, 2)
# All are trained so: two thirds of the time on a processor that knows bfloat16.
PRECISION: Any = "bf16-mixed"


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        name: As rows name it.
        title: For the table.
        network: "unet" or "segresnet" for a baseline, else "sammix".
        changes: What is turned away from `SamMixTraining`'s defaults.
        counts: Labelled slices that it is measured with by default with one patient; `cells.planned` has the others.
        seeds: Likewise.
    """

    name: str
    title: str
    network: str
    changes: dict[str, Any]
    counts: tuple[int, ...] = COUNTS
    seeds: tuple[int, ...] = SEEDS

    def settings(self, protocol: str) -> SamMixTraining:
        """How SAM-Mix is trained for it."""
        chosen = CHOSEN if protocol == PATIENTS and self.changes.get("guidance") != RESNET38 else {}
        return SamMixTraining(**{**QUICKER, **chosen, **self.changes})


# For two CPU cores: shorter than the product's default, and one pair of views a slice.
QUICKER: dict[str, Any] = {"steps": 140, "warm_up": 80, "check_every": 15, "patience": 2, "views": 1}
# What was best out of fold on training patients with many unlabelled patients; fixed before the test cases are run.
CHOSEN: dict[str, Any] = {}
# What can be turned on to choose it, each on its own or several joined by +.
VARIANTS: dict[str, dict[str, Any]] = {
    "interpolate": {"interpolate": True},
    "mean_teacher": {"mean_teacher": True},
    "fold_prompts": {"fold_heads": 3},
    "agreement": {"agreement": True},
    "views": {"views": 4},
    "multiple_instance": {"multiple_instance_weight": 0.2},
    "along_z": {"along_z_weight": 0.1},
}
_RESNET = {"guidance": RESNET38, "guidance_rate": 1e-3, "width": 0.5, "batch": 6, "unlabelled_batch": 4}
# Nothing but the classification learns; the CAM's box alone prompts LiteMedSAM as it came.
_NO_SEGMENTATION = {"train_decoder": False, "mask_prompt": False}

METHODS = {
    one.name: one
    for one in (
        Method("unet", "U-Net (MONAI)", "unet", {}, COUNTS, (0,)),
        Method("segresnet", "SegResNet (MONAI)", "segresnet", {}, FEW_AND_MANY, (0,)),
        Method(
            "sam_pp",
            "SAM-PP: Grad-CAM boxes, LiteMedSAM untrained",
            "sammix",
            {**_RESNET, **_NO_SEGMENTATION},
            FEW_AND_MANY,
            (0,),
        ),
        Method("sammix_resnet38", "SAM-Mix, ResNet-38 Grad-CAM", "sammix", _RESNET, FEW_AND_MANY, (0,)),
        Method("sammix_embedding", "SAM-Mix, embedding CAM", "sammix", {}),
        Method("sammix_embedding_no_unlabelled", "- without unlabelled slices", "sammix", {"unlabelled_batch": 0}),
        Method("sammix_embedding_no_mask_prompt", "- without mask prompt", "sammix", {"mask_prompt": False}),
        Method("sammix_embedding_decoder_untrained", "- decoder untrained", "sammix", {"train_decoder": False}),
        Method(CEILING, "- with all masks of all patients", "sammix", {}, ()),
        Method(
            "sammix_embedding_lora",
            "- with LoRA",
            "sammix",
            {"lora_rank": 8, "decoded": 1, "agreement": False, "along_z_weight": 0.0},
            FEW_AND_MANY,
            (0,),
        ),
    )
}


def method_of(name: str) -> Method:
    """A method by its name; variants that are turned on follow it, as in "sammix_embedding+agreement+views"."""
    plain, *variants = name.split("+")
    method = METHODS[plain]
    changes = dict(method.changes)
    for variant in variants:
        changes |= VARIANTS[variant]
    return replace(method, name=name, changes=changes) if variants else method
