"""Entry point of the computing process: connects to the module and takes over its `sys.path`."""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any


def main() -> None:
    """Connects to the module that the environment names, and serves until it disconnects."""
    address = json.loads(os.environ.pop("SAMMIX_WORKER"))
    connection = socket.create_connection(("127.0.0.1", address["port"]))
    connection.sendall(bytes.fromhex(address["token"]))
    startup = _read_startup(connection)
    sys.path[:] = startup["path"]
    from SAMMixSlicerLib.worker.child.server import serve

    serve(connection, startup["embedding_limit_bytes"])


def _read_startup(connection: socket.socket) -> dict[str, Any]:
    """Reads what the module answers to the token: 4 bytes of length, then JSON."""
    with connection.makefile("rb", buffering=0) as stream:
        length = int.from_bytes(_read(stream, 4), "big")
        return json.loads(_read(stream, length))


def _read(stream: Any, length: int) -> bytes:
    content = b""
    while len(content) < length:
        chunk = stream.read(length - len(content))
        if not chunk:
            sys.exit("The module has disconnected.")
        content += chunk
    return content


if __name__ == "__main__":
    main()
