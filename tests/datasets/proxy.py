"""An HTTP server in front of another or of a folder, which answers some requests as a bad network would."""

import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Verdict = Callable[[int, str], str]  # (number of the request from 1 on, path) -> "", a status, "drop" or "short"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Proxy"

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.seen.append((self.path, self.headers.get("Range", "")))
            number = len(self.server.seen)
        verdict = self.server.verdict(number, self.path)
        if verdict == "drop":
            self.close_connection = True
            self.connection.shutdown(2)
            return
        if verdict.isdigit():
            status, body = int(verdict), b""
        else:
            status, body = self.server.answer(self.path, dict(self.headers.items()))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if verdict == "short" else body)
        if verdict == "short":
            self.close_connection = True

    do_HEAD = do_PUT = do_GET

    def log_message(self, *arguments: object) -> None:
        pass


class Proxy(ThreadingHTTPServer):
    """`target`: URL of a server, or a folder. `verdict` says what becomes of a request."""

    daemon_threads = True

    def __init__(self, target: str | Path, ranges: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target, self.ranges = target, ranges
        self.verdict: Verdict = lambda number, path: ""
        self.seen: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        if isinstance(self.target, Path):
            return self._file(self.target / path.lstrip("/"), headers.get("Range", ""))
        request = urllib.request.Request(self.target + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as found:
                return found.status, found.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def _file(self, path: Path, asked: str) -> tuple[int, bytes]:
        if not path.is_file():
            return 404, b""
        if not (asked and self.ranges):
            return 200, path.read_bytes()
        start, end = (int(x) for x in re.fullmatch(r"bytes=(\d+)-(\d+)", asked).groups())
        if start >= os.path.getsize(path):
            return 416, b""
        return 206, path.read_bytes()[start : end + 1]

    def handle_error(self, *arguments: object) -> None:
        """Clients that go away are what these tests are about."""


@contextmanager
def serving(target: str | Path, ranges: bool = True) -> Iterator[Proxy]:
    with Proxy(target, ranges) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
