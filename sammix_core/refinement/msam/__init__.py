"""M-SAM (arXiv 2403.05912): a 3-D SAM with a mask-enhanced adapter that refines a mask stage by stage."""
