"""The commands of `sammix`, one module each. They import what is heavy inside their functions."""
