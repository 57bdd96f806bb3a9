"""Entry point of the computing process: takes over the module's `sys.path` and connects to the module."""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    """Reads the settings from the environment and serves until the module disconnects."""
    settings = json.loads(os.environ.pop("SAMMIX_WORKER"))
    sys.path[:] = settings["path"]
    from SAMMixSlicerLib.worker.child.server import serve

    serve(settings["port"], bytes.fromhex(settings["token"]), settings["embedding_limit_bytes"])


if __name__ == "__main__":
    main()
