"""Improves the guidance's boxes by the decoder's masks, and follows the organ from slice to slice.

Six steps, each on network pixels and canonical slices:

1. *Refit.* Each box is grown by a tenth, decoded, and drawn tight about the mask that comes: the map's 64 x 64 cells
   place an edge to some 8 mm, the mask to about 2.
2. *Drop.* From the surest slice outwards, where for `break_mm` on end the masks are of another density than the organ
   (and the map is not sure of them), what lies beyond is no part of it: bowel, muscle.
3. *Shed.* What a slice has, its neighbour lacks and is of another density goes, if the decoder is surer without it: a
   heart beside the dome, a kidney beside the tip.
4. *Fill.* What a slice lacks, its neighbour has and is of the organ's density comes, if the decoder agrees: a left
   lobe.
5. *Follow.* At both ends of the organ, the next slice is decoded from its neighbour's box and mask. It is accepted
   while the decoder is sure, the density stays and the masks overlap. Tips and domes are where the map is weakest.
6. *Parts.* What a neighbour's mask has and a slice lacks, where the density goes on, gets a box of its own: the left
   lobe below the fissure, a slice between two good ones that was left empty.

Why, and what each is worth: docs/decisions/following.md and parts.md.
"""

from sammix_core.segmentation.following.follow import follow
from sammix_core.segmentation.following.settings import NOT_FOLLOWED, FollowSettings

__all__ = ["NOT_FOLLOWED", "FollowSettings", "follow"]
