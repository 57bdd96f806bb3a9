"""The `sammix` command, a file a command. The commands import what is heavy inside their functions."""
