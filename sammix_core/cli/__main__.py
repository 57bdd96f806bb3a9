"""`python -m sammix_core.cli`: the `sammix` command where its script is not on the path."""

from sammix_core.cli.app import main

if __name__ == "__main__":
    main()
