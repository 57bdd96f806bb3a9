"""How much memory embeddings may take; imports nothing, so that the panel can read it before torch is installed."""

from __future__ import annotations

EMBEDDING_LIMIT_BYTES = 3 * 1024**3  # about 1,500 slices of LiteMedSAM in float16
