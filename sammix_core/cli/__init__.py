"""The `sammix` command, one file for each command. Heavy modules are imported inside the functions that need them."""
