"""The gallery over HTTP on this machine alone, and the choices that its page writes.

Everything is below ``http://127.0.0.1:PORT/TOKEN/``; the token is drawn anew at each start.

    GET  index.html, ...   the files of the gallery
    GET  api/state         the choices (``Choices.look``)
    POST api/choose        {"artwork": "lake", "choose": 3}
    POST api/undo          {}

An answer to the last three is JSON: the new state, or {"error": "a message for people"} with a
status of 400 or more.

A page of another site can neither read nor write here: it does not know the token, the names of
this machine are the only ones that are answered, and only a page of this origin may send JSON.
"""

import contextlib
import errno
import http.server
import json
import logging
import os
import re
import secrets
import socket
import socketserver
import stat
import sys
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from bigart.config.choices import Choices
from bigart.errors import UserError

log = logging.getLogger("bigart")

HOST = "127.0.0.1"
MOST_CONNECTIONS = 100
MOST_BODY = 10_000  # bytes of a request's JSON
SECONDS_TO_ASK = 20  # for a whole request, from the end of the one before it
SECONDS_TO_TAKE = 30  # for 64 kB of an answer

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".tsv": "text/tab-separated-values; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".pdf": "application/pdf",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; worker-src 'self' blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # the address has the token
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_HOSTS = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?", re.IGNORECASE)


_NOT_HERE = "Nothing is here. Open the whole address that choose.py has printed."


class _RefusedError(Exception):
    """A request that gets a status and a message, and no more."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class GalleryServer(http.server.ThreadingHTTPServer):
    """Serves a gallery until ``serve_forever`` is interrupted.

    Attributes:
        folder: Of the gallery.
        choices: Those of its table.
        token: What addresses begin with.
    """

    daemon_threads = True
    allow_reuse_port = False  # two servers would share it

    def __init__(self, folder: Path, choices: Choices, port: int) -> None:
        """Listen at a port of this machine; 0 takes a free one.

        Raises:
            OSError: The port is taken, or only root may take it.
        """
        self.folder, self.choices = folder, choices
        self.token = secrets.token_urlsafe(16)
        self._deadlines: dict[socket.socket, float] = {}
        super().__init__((HOST, port), _Handler)

    @property
    def address(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_port}/{self.token}/index.html"

    def server_bind(self) -> None:
        """Bind as ``HTTPServer`` does, without asking a name server for this machine's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own; hang up where there are too many."""
        if len(self._deadlines) >= MOST_CONNECTIONS:
            self.shutdown_request(request)
            return
        self.waits_for(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self._deadlines.pop(request, None)
        super().shutdown_request(request)

    def waits_for(self, connection: socket.socket) -> None:
        """Give a connection its time to ask, from now on."""
        self._deadlines[connection] = time.monotonic() + SECONDS_TO_ASK

    def has_asked(self, connection: socket.socket) -> None:
        """Let a connection take its time for the answer."""
        self._deadlines[connection] = float("inf")

    def service_actions(self) -> None:
        """Hang up where a request does not come to an end; called every half second."""
        now = time.monotonic()
        for connection, deadline in list(self._deadlines.items()):
            if deadline < now:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that break; an error of the program keeps its traceback."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def listen(folder: Path, choices: Choices, port: int | None, usual: int) -> GalleryServer:
    """Return a server that listens.

    Args:
        folder: Of the gallery.
        choices: Those of its table.
        port: Where to listen, or None.
        usual: The port where none is asked for; where it is taken, a free one.

    Raises:
        UserError: The port that was asked for is taken, or only root may take it.
    """
    try:
        return GalleryServer(folder, choices, usual if port is None else port)
    except OSError as error:
        if port is None and error.errno == errno.EADDRINUSE:
            return GalleryServer(folder, choices, 0)
        reason = os.strerror(error.errno or 0).lower()
        raise UserError(f"port {port or usual} of {HOST}: {reason}; try another --port") from None


class _Handler(http.server.BaseHTTPRequestHandler):
    server: GalleryServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "BIG.art", ""
    timeout = SECONDS_TO_TAKE
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        self.server.waits_for(self.connection)
        super().handle_one_request()

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_HEAD(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with a message; what else the connection brings is not read."""
        self.close_connection = True
        self.request_version = self.protocol_version  # whatever it was, it gets a status
        status = HTTPStatus(code)
        text = f"{message or status.phrase}\n"
        self._send(status, text.encode(errors="replace"), _TYPES[".txt"])

    def log_message(self, format: str, *args: object) -> None:
        """Keep the terminal for the choices."""

    def _answer(self, answer: Callable[[list[str]], None]) -> None:
        try:
            place = self._place()
            if place is None:
                self._head(204, _TYPES[".ico"], {})
                return
            answer(place)
        except _RefusedError as refused:
            self.send_error(refused.status, str(refused))
        except (ConnectionError, TimeoutError):
            raise
        except Exception:
            log.exception("choose: error of the program")
            self.close_connection = True
            self._json({"error": "an error of the program: see the terminal"}, 500)

    def _place(self) -> list[str] | None:
        """Return the parts of the path behind the token, once the request may be answered.

        None stands for the site's icon: browsers ask for it, without the token.
        """
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not _HOSTS.fullmatch(hosts[0]):
            message = f"Only {HOST} and localhost are answered."
            raise _RefusedError(HTTPStatus.MISDIRECTED_REQUEST, message)
        if (self.command, self.path) == ("GET", "/favicon.ico"):
            return None
        try:
            path = self.path.partition("?")[0].partition("#")[0]
            start, token, *parts = (unquote(part, errors="strict") for part in path.split("/"))
        except ValueError:
            raise _RefusedError(HTTPStatus.NOT_FOUND, _NOT_HERE) from None
        own = secrets.compare_digest(token.encode(), self.server.token.encode())
        if start or not own:
            raise _RefusedError(HTTPStatus.NOT_FOUND, _NOT_HERE)
        return parts

    def _get(self, place: list[str]) -> None:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "This request has no body.")
        self.server.has_asked(self.connection)
        if place in ([], [""]):
            self._send(302, b"", _TYPES[".txt"], {"Location": f"/{self.server.token}/index.html"})
        elif place == ["api", "state"]:
            self._call(self.server.choices.look)
        elif place[0] == "api":
            raise _RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "This address takes POST.")
        else:
            self._file(place)

    def _post(self, place: list[str]) -> None:
        sites = [*self.headers.get_all("Origin", []), *self.headers.get_all("Sec-Fetch-Site", [])]
        own = {f"http://{self.headers['Host']}".lower(), "same-origin"}
        if not {site.lower() for site in sites} <= own:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "Only the gallery's own page may write.")
        if place not in (["api", "choose"], ["api", "undo"]):
            raise _RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "This address takes GET.")
        asked = self._body()
        self.server.has_asked(self.connection)
        match place[1], asked:
            case "undo", {**others} if not others:
                self._call(self.server.choices.undo)
            case "choose", {"artwork": str(artwork), "choose": int(choose), **others} if not (
                others or isinstance(choose, bool)
            ):
                self._call(lambda: self.server.choices.choose(artwork, choose))
            case _:
                raise _RefusedError(
                    HTTPStatus.BAD_REQUEST,
                    'Allowed: {"artwork": "lake", "choose": 3} to choose, and {} to undo.',
                )

    def _body(self) -> object:
        """Return what the request's JSON holds."""
        if self.headers.get_content_type() != "application/json":
            raise _RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Allowed: application/json.")
        lengths = self.headers.get_all("Content-Length", [])
        if len(lengths) != 1 or "Transfer-Encoding" in self.headers:
            raise _RefusedError(HTTPStatus.LENGTH_REQUIRED, "Content-Length is needed, once.")
        if not re.fullmatch("[0-9]{1,18}", lengths[0], re.ASCII):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "Content-Length is a number of bytes.")
        if int(lengths[0]) > MOST_BODY:
            message = f"At most {MOST_BODY:,} bytes are read."
            raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
        body = self.rfile.read(int(lengths[0]))
        if len(body) < int(lengths[0]):
            raise ConnectionError
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "This is not JSON.") from None

    def _call(self, function: Callable[[], Mapping[str, object]]) -> None:
        try:
            self._json(function())
        except UserError as error:
            self._json({"error": str(error)}, 409)
        except ConnectionError:
            raise
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            self._json({"error": f"{reason}: {error.filename or self.server.choices.path}"}, 500)

    def _json(self, answer: Mapping[str, object], status: int = 200) -> None:
        self._send(status, json.dumps(answer).encode(), _TYPES[".json"])

    def _file(self, place: list[str]) -> None:
        with self._opened(place) as file:
            found = os.fstat(file.fileno())
            tag = f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
            kind = _TYPES.get(Path(place[-1]).suffix.lower(), "application/octet-stream")
            caching = {"ETag": tag, "Cache-Control": "private, no-cache"}
            if tag in self.headers.get("If-None-Match", ""):
                self._head(304, kind, caching)
                return
            self._head(200, kind, {**caching, "Content-Length": str(found.st_size)})
            left = found.st_size if self.command != "HEAD" else 0
            while left and (part := file.read(min(left, 2**16))):
                self.wfile.write(part)
                left -= len(part)
            self.close_connection |= left > 0  # the file has become shorter

    def _opened(self, place: list[str]) -> BinaryIO:
        """Open a file of the gallery for reading; links may not lead out of it."""
        missing = _RefusedError(HTTPStatus.NOT_FOUND, "The gallery has no such file.")
        if any(not part or part[0] == "." or set(part) & {"/", "\\", "\0"} for part in place):
            raise missing
        try:
            folder = self.server.folder.resolve()
            path = folder.joinpath(*place).resolve(strict=True)
            if not path.is_relative_to(folder):
                raise missing
            # a pipe would wait for its other end
            file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb")
        except (OSError, RuntimeError, ValueError):
            raise missing from None
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise missing
        return file

    def _send(
        self, status: int, body: bytes, kind: str, headers: Mapping[str, str] | None = None
    ) -> None:
        length = {"Content-Length": str(len(body))}
        self._head(status, kind, {"Cache-Control": "no-store", **length, **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, kind: str, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        if self.close_connection:
            headers = {**headers, "Connection": "close"}
        for name, value in {"Content-Type": kind, **_HEADERS, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
