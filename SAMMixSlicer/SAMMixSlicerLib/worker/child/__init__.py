"""The code that runs in the computing process. The module imports nothing from here; only here is torch imported."""
