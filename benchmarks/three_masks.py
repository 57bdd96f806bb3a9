"""Which of LiteMedSAM's tokens make good masks before any training; see docs/decisions/three-masks.md.

    python benchmarks/three_masks.py --data ../shared/data [--model liver]

On three slices of crlm1004, from the label's tight box, with and without the guidance's map as mask prompt: the single
token, SAM's own three, and three copies of the single token. The labels are ours, and LiteMedSAM's single token helped
to make them, which favours it. Rows go to benchmarks/three_masks.jsonl.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sammix_core.datasets.labels import CaseLabels
from sammix_core.model_store.base_weights import find_base_weights
from sammix_core.preprocessing.body_crop import volume_frame
from sammix_core.preprocessing.window import slice_image
from sammix_core.sam.decoding import MaskSettings, dense_prompt
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.training.calibrate import label_box
from sammix_core.volume_io import read_volume

HERE = Path(__file__).parent
RESULTS = HERE / "three_masks.jsonl"
SLICES = (12, 20, 28)


def dice(found: np.ndarray, label: np.ndarray) -> float:
    return float(2 * (found & label).sum() / (found.sum() + label.sum()))


def own_masks(network: Any, embedding: torch.Tensor, box: torch.Tensor, prompt: torch.Tensor | None) -> np.ndarray:
    """(4, 256, 256) bool: the single token's mask and the three others', by LiteMedSAM's own code."""
    sparse, dense = network.prompt_encoder(points=None, boxes=box - 0.5, masks=prompt)
    position = network.prompt_encoder.get_dense_pe()
    return network.mask_decoder.predict_masks(embedding, position, sparse, dense)[0][0].numpy() > 0


def copy_tokens(decoder: Any) -> None:
    """Makes the three tokens, and what reads them, copies of the single one's."""
    decoder.mask_tokens.weight[1:] = decoder.mask_tokens.weight[0]
    for network in decoder.output_hypernetworks_mlps[1:]:
        network.load_state_dict(decoder.output_hypernetworks_mlps[0].state_dict())


@torch.no_grad()
def main() -> None:
    """Measures and writes the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="liver", help="whose map is the mask prompt")
    arguments = parser.parse_args()
    model = Segmenter.load(arguments.model, device="cpu", engine="torch").model
    network: Any = model.backend.network  # type: ignore[attr-defined]
    labels = CaseLabels.read(HERE / "liver_model" / "labels" / "crlm1004.json")
    volume = read_volume(arguments.data / "crlm1004_ct.nii.gz")
    order = volume.axial_order
    axial, (_, row_mm, col_mm) = order.forward(volume.array), order.spacing(volume.spacing)
    frame = volume_frame(axial, (row_mm, col_mm), model.preprocessing)
    cases = []
    for k in SLICES:
        index = order.canonical_slice(k, volume.shape_kji)
        image = torch.from_numpy(slice_image(axial[index], frame, model.preprocessing))[None, None]
        embedding = model.backend.encode(image).clone()
        mask = np.zeros(volume.array.shape, dtype=np.float32)
        mask[k] = labels.masks[k]
        share = frame.to_network(order.forward(mask)[index], 0.0)
        logits = model.guidance.maps(image, embedding).cam_logits
        box = torch.tensor([label_box(np.round(share * 255).astype(np.uint8))])
        cases.append((k, embedding, box, dense_prompt(logits, 256, MaskSettings()), share > 0.5))

    # Everything as published: neither a trained decoder nor three networks on the single token
    network.load_state_dict(torch.load(find_base_weights(), map_location="cpu", weights_only=True))
    with RESULTS.open("w", encoding="utf-8") as file:
        for tokens in ("own", "copies of the single one"):
            if tokens != "own":
                copy_tokens(network.mask_decoder)
            for k, embedding, box, cam, label in cases:
                for name, prompt in (("none", None), ("map", cam)):
                    scores = [round(dice(one, label), 4) for one in own_masks(network, embedding, box, prompt)]
                    row = {"slice": k, "tokens": tokens, "mask_prompt": name, "single": scores[0], "three": scores[1:]}
                    row |= {"case": "crlm1004", "map_of": model.spec}
                    print(json.dumps(row), flush=True)
                    file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
