"""How a network runs: torch, OpenVINO or CUDA, int8, threads, the device."""
