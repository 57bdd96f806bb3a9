"""Training M-SAM from a configuration."""
