"""Models as MONAI bundles, which run where SAMMix is not installed."""
