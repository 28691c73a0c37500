"""A web server on this machine that does what servers do to a downloader."""

from __future__ import annotations

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.preprocess import made


class Web:
    """Serves `files`; /status/N, /to/URL, /loop, /slow and /busy as their names say."""

    def __init__(self, folder) -> None:
        self.files = {
            f"/{n}.jpg": made.save(folder / "web" / f"{n}.jpg", n).read_bytes() for n in range(8)
        }
        self.asked: Counter[str] = Counter()
        self.at_once = 0
        self.most_at_once = 0
        self.stop_slow = threading.Event()
        self._busy = threading.Lock()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format, *args):
                pass

            def do_GET(self):
                with web._busy:
                    web.asked[self.path] += 1
                    web.at_once += 1
                    web.most_at_once = max(web.most_at_once, web.at_once)
                try:
                    web.answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                finally:
                    with web._busy:
                        web.at_once -= 1

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def answer(self, request) -> None:
        path = request.path
        if path.startswith("/status/"):
            return self.send(request, int(path.split("/")[2]))
        if path.startswith("/to/"):
            return self.send(request, 302, {"Location": path.removeprefix("/to/")})
        if path == "/loop":
            return self.send(request, 302, {"Location": "/loop"})
        if path == "/busy.jpg" and self.asked[path] < 3:
            return self.send(request, 503, {"Retry-After": "0"})
        if path == "/busy.jpg":
            return self.send(request, 200, {}, self.files["/0.jpg"])
        if path == "/robots.jpg":
            return self.send(request, 200, {"X-Robots-Tag": "noai, nofollow"}, b"x")
        if path == "/cut.jpg":
            content = self.files["/0.jpg"]
            return self.send(request, 200, {"Content-Length": str(len(content) + 9)}, content)
        if path in ("/slow.jpg", "/slow-header.jpg"):
            return self.trickle(request, path == "/slow-header.jpg")
        if path in self.files:
            return self.send(request, 200, {}, self.files[path])
        return self.send(request, 404)

    def send(self, request, status, headers=(), content=b"") -> None:
        request.send_response(status)
        for name, value in dict(headers).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)

    def trickle(self, request, header: bool) -> None:
        """A byte now and then, until the test has seen enough."""
        if not header:
            request.send_response(200)
            request.end_headers()
        while not self.stop_slow.wait(0.02):
            request.wfile.write(b"x")
            request.wfile.flush()

    def stop(self) -> None:
        self.stop_slow.set()
        self._server.shutdown()
        self._server.server_close()
