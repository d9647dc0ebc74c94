"""A local HTTP server whose connections break, for the downloads."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Behaviour:
    """What the server does: `break_after` lists after how many bytes the next answers end early."""

    def __init__(self, data: bytes):
        self.data = data
        self.etag = '"1"'
        self.ranges = True
        self.break_after: list[int] = []
        self.status: list[int] = []
        self.requests: list[str] = []


@contextlib.contextmanager
def serve(behaviour: Behaviour):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            wanted = self.headers.get("Range", "")
            behaviour.requests.append(wanted)
            if behaviour.status:
                self.send_response(behaviour.status.pop(0))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = 0
            if wanted and behaviour.ranges and self.headers.get("If-Range") == behaviour.etag:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start and start >= len(behaviour.data):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = behaviour.data[start:]
            self.send_response(206 if start else 200)
            if start:
                end = len(behaviour.data)
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
            self.send_header("ETag", behaviour.etag)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if behaviour.break_after:
                self.wfile.write(body[: behaviour.break_after.pop(0)])
                self.wfile.flush()
                self.close_connection = True
                self.connection.close()
                return
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *args: None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/file.zip"
    finally:
        server.shutdown()
        server.server_close()
