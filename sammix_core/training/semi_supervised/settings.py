"""The section `sammix` of a training configuration: what is trained, how long, and how the losses weigh."""

from __future__ import annotations

from dataclasses import dataclass

from sammix_core.errors import InputError
from sammix_core.guidance.embedding_cam import NAME as EMBEDDING_CAM
from sammix_core.guidance.resnet38_cam import NAME as RESNET38

GUIDANCES = (EMBEDDING_CAM, RESNET38)


@dataclass(frozen=True)
class SamMixTraining:
    """How SAM-Mix is trained.

    Attributes:
        guidance: "embedding_cam" (a head on the embedding, its map taught by the masks as well) or "resnet38" (the
            paper's: image-level labels alone, Grad-CAM).
        steps: Most optimiser steps; early stopping mostly ends sooner.
        warm_up: Steps in which the guidance learns alone, before boxes are drawn from it and pseudo-labels made.
        batch: Slices a step whose mask is known, two in three with the structure. A process's own; several processes
            see as many each.
        unlabelled_batch: Slices a step whose mask is not known; 0 trains without them.
        decoded: At most this many slices of either kind go through the mask decoder in a step, which takes most of it.
        guidance_rate: Peak of a one-cycle schedule (AdamW) for the guidance.
        decoder_rate: For prompt encoder and mask decoder; small, since naive training hurts other patients.
        lora_rate: For LoRA.
        weight_decay: AdamW's.
        train_decoder: Whether prompt encoder and mask decoder learn; otherwise they stay LiteMedSAM's.
        lora_rank: Rank of LoRA on the image encoder; 0 leaves the encoder frozen, so that embeddings are kept.
        mask_prompt: Whether the map is given to the decoder as dense prompt, in training and in use.
        width: Factor on ResNet-38's channels; 1 is the paper's.
        guided_share: Share of the slices with a mask whose box is the guidance's own of that moment; the others get
            the mask's. All are moved a little.
        confidence: A pixel of a pseudo-label counts where the decoder is at least so sure of it.
        segmentation_weight: Of the segmentation loss beside the classification's, 1.
        dice_weight: Of soft Dice beside cross-entropy, in the segmentation loss.
        pseudo_weight: Of the cross-entropy of the strong view with the weak view's pseudo-label.
        consistency_weight: Of the Kullback-Leibler divergence between the two views' masks, pixel by pixel.
        views: Pairs of a weak and a strong view that each slice has; the first weak one is the slice itself.
        held_back: Share of the patients with masks, or of one patient's slices, that early stopping evaluates.
        check_every: Steps from one look to the next.
        patience: Looks without a gain after which training ends; those during the warm-up don't count.
        mean_teacher: Whether the averaged network (Tarvainen, Valpola, arXiv 1703.01780) makes prompts and masks of the
            weak views, and its masks teach as they are; otherwise the network itself, where it is sure.
        agreement: Whether a pixel of a pseudo-label counts only where the decoder's mask and the map agree on it, and
            one of the structure only within the box and where a neighbouring slice's map shows it too.
        fold_heads: Heads of which each learns without one part of the slices with a mask (patients, or stretches of the
            one patient) and makes the prompts of that part, so that the decoder learns with boxes as wrong as on a new
            patient; 0 prompts with the guidance itself.
        multiple_instance_weight: Of the loss by which "shows the structure" shapes the map of a slice without a mask:
            its strongest cells are the structure's, its weakest half is not.
        along_z_weight: Of the loss by which the map of a slice without a mask follows both its neighbours where these
            are sure of the same.
        interpolate: Whether the weights go back towards those at the end of the warm-up, head and decoder apart, as far
            as the held-back Dice allows; there the decoder is still LiteMedSAM's own.
    """

    guidance: str = EMBEDDING_CAM
    steps: int = 300
    warm_up: int = 120
    batch: int = 6
    unlabelled_batch: int = 4
    decoded: int = 2
    guidance_rate: float = 1.5e-3
    decoder_rate: float = 5e-5
    lora_rate: float = 2e-4
    weight_decay: float = 0.01
    train_decoder: bool = True
    lora_rank: int = 0
    mask_prompt: bool = True
    width: float = 0.5
    guided_share: float = 0.75
    confidence: float = 0.7
    segmentation_weight: float = 0.5
    dice_weight: float = 5.0
    pseudo_weight: float = 0.25
    consistency_weight: float = 0.01
    views: int = 2
    held_back: float = 0.2
    check_every: int = 20
    patience: int = 5
    mean_teacher: bool = False
    agreement: bool = False
    fold_heads: int = 0
    multiple_instance_weight: float = 0.0
    along_z_weight: float = 0.0
    interpolate: bool = False

    @property
    def looks_at_neighbours(self) -> bool:
        """Whether the maps of neighbouring slices take part."""
        return self.agreement or self.along_z_weight > 0

    def check(self) -> None:
        """Refuses values that cannot work together.

        Raises:
            InputError: One of them, in one sentence.
        """
        if self.guidance not in GUIDANCES:
            raise InputError(
                f"The training configuration's sammix has the guidance {self.guidance!r}; choose one of "
                f"{', '.join(GUIDANCES)}."
            )
        for key in ("steps", "views", "check_every", "patience"):
            if getattr(self, key) < 1:
                raise InputError(f"The training configuration's sammix needs {key} of 1 or more.")
        if self.warm_up >= self.steps:
            raise InputError("The training configuration's sammix has a warm_up as long as all its steps.")
        if self.batch < 2:
            raise InputError("The training configuration's sammix needs a batch of 2 or more: with and without.")
        for key in ("guided_share", "held_back"):
            if getattr(self, key) > 1:
                raise InputError(f"The training configuration's sammix has a {key} above 1; it is a share.")
        if not 0 < self.held_back < 1:
            raise InputError("The training configuration's sammix must hold back a share between 0 and 1.")
        if not 0.5 <= self.confidence < 1:
            raise InputError("The training configuration's sammix needs a confidence from 0.5 to below 1.")
        if not 0.05 <= self.width <= 2:
            raise InputError("The training configuration's sammix needs a width from 0.05 to 2.")
        self._check_map()

    def _check_map(self) -> None:
        """Refuses what needs the embedding CAM's map beside another guidance, or kept embeddings beside LoRA."""
        of_map = [
            k for k in ("agreement", "fold_heads", "multiple_instance_weight", "along_z_weight") if getattr(self, k)
        ]
        if of_map and self.guidance != EMBEDDING_CAM:
            raise InputError(
                f"The training configuration's sammix has {of_map[0]}, which needs the guidance {EMBEDDING_CAM}."
            )
        if self.looks_at_neighbours and self.lora_rank:
            raise InputError(
                "The training configuration's sammix has agreement or along_z_weight, which need kept embeddings; that "
                "does not go with lora_rank."
            )
        if self.interpolate and not self.warm_up:
            raise InputError("The training configuration's sammix has interpolate, which goes back to a warm_up's end.")
        if self.fold_heads == 1:
            raise InputError("The training configuration's sammix needs fold_heads of 2 or more, or 0 for none.")
