"""Where the computing process begins: takes over the module's `sys.path` and calls it back."""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    """Reads the settings from the environment and serves until the module hangs up."""
    settings = json.loads(os.environ.pop("SAMMIX_WORKER"))
    sys.path[:] = settings["path"]
    from SAMMixSlicerLib.worker.child.server import serve

    serve(settings["port"], bytes.fromhex(settings["token"]), settings["embedding_limit_bytes"])


if __name__ == "__main__":
    main()
