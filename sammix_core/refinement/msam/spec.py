"""The sizes of an M-SAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sammix_core.documents import settings_from_dict, settings_to_dict
from sammix_core.errors import InputError

_MASK_FACTOR = 4  # voxels of a mask prompt along each axis of a cell of the embedding


@dataclass(frozen=True)
class MSamSpec:
    """The sizes of the network. The default is SAM-Med3D's `vit_b_ori` with the adapter of M-SAM.

    Attributes:
        crop: Voxels along each axis of the cube that the network sees.
        patch: Voxels along each axis of one cell of the embedding.
        width: Channels of the image encoder.
        depth: Its blocks.
        heads: Its attention heads.
        global_blocks: Blocks whose attention sees the whole grid; the others see windows.
        window: Cells along each axis of a window; the grid is padded to a multiple.
        channels: Of the embedding, the prompts and the adapter; a multiple of 48 and of `adapter_heads`.
        decoder_hidden: Of the decoder's MLPs.
        adapter_heads: Attention heads of the adapter.
        published: Compute positions as SAM-Med3D's code does, with its mixed-up axes: its weights were trained so.
    """

    crop: int = 128
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    window: int = 14
    channels: int = 384
    decoder_hidden: int = 2048
    adapter_heads: int = 6
    published: bool = True

    @property
    def grid(self) -> int:
        """Cells along each axis of the embedding."""
        return self.crop // self.patch

    @property
    def mask_size(self) -> int:
        """Voxels along each axis of a mask prompt, and of the masks that come out."""
        return _MASK_FACTOR * self.grid

    def check(self) -> None:
        """Refuses sizes that do not fit each other.

        Raises:
            InputError: Such sizes.
        """
        sizes = (self.crop, self.patch, self.width, self.depth, self.heads, self.window, self.decoder_hidden)
        if min(*sizes, self.channels, self.adapter_heads) < 1:
            raise InputError("The sizes of an M-SAM must be whole numbers from 1.")
        if self.crop % self.patch:
            raise InputError(f"M-SAM's crop of {self.crop} voxels must be a multiple of its patch of {self.patch}.")
        if self.width % self.heads:
            raise InputError(f"M-SAM's width of {self.width} must be a multiple of its {self.heads} heads.")
        if self.channels % 48 or self.channels % self.adapter_heads:
            raise InputError(
                f"M-SAM's {self.channels} channels must be a multiple of 48 and of its {self.adapter_heads} "
                "adapter_heads."
            )
        if not all(0 <= block < self.depth for block in self.global_blocks):
            raise InputError(f"M-SAM's global_blocks must lie between 0 and {self.depth - 1}.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a manifest."""
        return settings_to_dict(self)

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> MSamSpec:
        """Reads what `to_dict` returned, or some of it.

        Raises:
            InputError: A key is unknown, or a value has another type or is no possible size.
        """
        spec = settings_from_dict(cls, entry, "M-SAM's network")
        spec.check()
        return spec


FULL = MSamSpec()
# For a CPU: a twentieth of the parameters, and a step of training in a second. A cell is 8 voxels instead of 16.
COMPACT = MSamSpec(
    crop=48,
    patch=8,
    width=192,
    depth=6,
    heads=6,
    global_blocks=(2, 5),
    window=3,
    channels=96,
    decoder_hidden=384,
    published=False,
)
