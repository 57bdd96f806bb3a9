"""Masks of slices refined stage by stage: M-SAM's mask-enhanced adapter on the LiteMedSAM embedding. Experimental."""
