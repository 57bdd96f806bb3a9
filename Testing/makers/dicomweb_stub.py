"""A server on localhost that gives the answers which a healthy PACS does not give."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sammix_core.pacs.address import DicomwebAddress


@dataclass
class Answer:
    """What to send.

    Attributes:
        status: The status.
        headers: Of the answer.
        body: Of the answer; without Content-Length it ends where the connection does.
        cut: Close the connection while the request's body is being sent.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: bool = False


@contextmanager
def answering(answer: Callable[[str, str], Answer], certificate: Path | None = None) -> Iterator[DicomwebAddress]:
    """Runs a server until the block ends.

    Args:
        answer: Called with method and path of each request.
        certificate: Key and certificate of localhost, for TLS; Debian's Orthanc crashes with it.

    Yields:
        The server's address.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = answer(self.command, self.path)
            self.close_connection = True
            if given.cut:
                self.rfile.read(1000)
                self.connection.close()
                return
            self.send_response(given.status)
            for name, value in given.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(given.body)

        do_POST = do_GET

        def handle(self) -> None:
            with suppress(OSError):  # a client that does not trust the certificate leaves
                super().handle()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        # The handshake is made at the first read, in the request's own thread.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        scheme = "dicomweb"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield DicomwebAddress.parse(f"{scheme}://localhost:{server.server_port}/rs")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
