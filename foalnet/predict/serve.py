"""Serves a page on this machine alone: one drops a clip and sees its timeline.

The server listens on 127.0.0.1. It refuses other names of it (a foreign page may point its own name here), and posts
without the token of its form (a foreign page may post, but cannot read the form). A clip is stored in a temporary file
under a name of the server's, and removed after its prediction. One clip is predicted at a time.
"""

from __future__ import annotations

import hmac
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from email.parser import HeaderParser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

from foalnet.core.errors import FoalnetError, MachineError, reason
from foalnet.core.files import not_written
from foalnet.predict.answer import ClipPrediction, Unanswered, error_row
from foalnet.predict.request import Request, check_files
from foalnet.predict.timeline import POLICY, TAIL, head, section, text_of

HOST = "127.0.0.1"
# Bytes of the multipart header, and of one read.
HEAD_BYTES, CHUNK = 8192, 1 << 16
# Seconds without a byte of a request; seconds for a browser to read an answer while it still sends its clip.
SILENT_S, LINGER_S = 60.0, 5.0
# Seconds for a prediction to end at its next window.
STOP_S = 30.0
SHOWN_CHARS = 200
MOST_DIGITS = 16
DROP = "display: block; width: 100%; box-sizing: border-box; padding: 2rem 1rem; border: 2px dashed #595959"
PAGE_POLICY = f"{POLICY}; form-action 'self'"
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": f"{PAGE_POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Predict = Callable[[Request], Generator[ClipPrediction | Unanswered, None, None]]


class Refused(Exception):
    """A request that is answered with an error page."""

    def __init__(self, status: HTTPStatus, what: str) -> None:
        super().__init__(what)
        self.status = status


class Server(ThreadingHTTPServer):
    """Answers with the timelines of `predict`, in windows of `window_s`, for clips of at most `most_bytes` bytes.

    `port` 0 takes a free one. MachineError (exit 4) if the port is taken. Closing it ends a prediction at its next
    window and removes every file.
    """

    daemon_threads = True

    def __init__(self, predict: Predict, *, port: int, window_s: float, step_s: float | None, most_bytes: int) -> None:
        self.predict, self.window_s, self.step_s, self.most_bytes = predict, window_s, step_s, most_bytes
        self.token = secrets.token_urlsafe(32)
        self.busy, self.stopped = threading.Lock(), threading.Event()
        self._work = tempfile.TemporaryDirectory(prefix="foalnet-")
        self.work = Path(self._work.name)
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            raise MachineError(
                f"port {port} cannot be opened: {reason(error)}", action="name another port by --port"
            ) from error

    @property
    def address(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_port}/"

    def server_close(self) -> None:
        """End the prediction at its next window, and remove every file."""
        super().server_close()
        self.stopped.set()
        self.busy.acquire(timeout=STOP_S)
        self._work.cleanup()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a browser that went away; anything else is a bug, with its traceback on stderr."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server_version, sys_version = "foalnet", ""
    timeout = SILENT_S
    # Bytes of the body that are not read yet.
    left = 0

    @property
    def own(self) -> Server:
        """The server."""
        return cast("Server", self.server)

    def do_GET(self) -> None:
        """Return the page with the form."""
        try:
            self._check_host()
            if self.path.partition("?")[0] != "/":
                raise Refused(HTTPStatus(404), "There is no such page.")
        except Refused as refused:
            self._refuse(refused)
            return
        self._begin(HTTPStatus.OK)
        self._write(self._form() + TAIL)

    def do_POST(self) -> None:
        """Return the timeline of the clip in the request's body."""
        try:
            self.left = self._length()
            self._check_host()
            people = self._people()
            if not self.own.busy.acquire(blocking=False):
                raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "Another clip is being predicted; try again soon.")
            try:
                with tempfile.TemporaryDirectory(dir=self.own.work) as folder:
                    clip = Path(folder) / "clip"
                    name = self._receive(clip)
                    self._answer(clip, name, people)
            finally:
                self.own.busy.release()
        except Refused as refused:
            self._refuse(refused)
        except FoalnetError as error:
            self._refuse(Refused(_status(error), _sentence(error)))

    def _check_host(self) -> None:
        """Refuse a request to another name than those of this machine."""
        names = {f"{name}:{self.own.server_port}" for name in (HOST, "localhost")}
        if self.headers.get_all("Host", []) not in [[name] for name in names]:
            raise Refused(HTTPStatus.FORBIDDEN, f"Open {self.own.address} itself.")

    def _length(self) -> int:
        """Return the length of the body."""
        lengths = self.headers.get_all("Content-Length", [])
        stated = len(lengths) == 1 and lengths[0].isdecimal() and len(lengths[0]) < MOST_DIGITS
        if not stated or self.headers.get("Transfer-Encoding") is not None:
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "The request does not state its length.")
        return int(lengths[0])

    def _people(self) -> int:
        """Return the number of people, after the checks that need none of the body."""
        query = parse_qs(self.path.partition("?")[2])
        token = query.get("token", [""])[0]
        if not hmac.compare_digest(token.encode(), self.own.token.encode()):
            raise Refused(HTTPStatus.FORBIDDEN, "The form is of an earlier start; load the page again.")
        if self.left > self.own.most_bytes + HEAD_BYTES:
            what = f"The clip is larger than {self.own.most_bytes // 1_000_000} MB, the limit of this server."
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, what)
        return 2 if query.get("people") == ["2"] else 1

    def _receive(self, clip: Path) -> str:
        """Write the one file of a multipart body to `clip`, and return the name that the browser gives it."""
        boundary = self.headers.get_param("boundary")
        wrong = Refused(HTTPStatus.BAD_REQUEST, "The request is not the one of the form.")
        if self.headers.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
            raise wrong
        first, last = f"--{boundary}\r\n".encode(), f"\r\n--{boundary}--\r\n".encode()
        lines = b""
        while not lines.endswith(b"\r\n\r\n"):
            line = self._read(self.rfile.readline, HEAD_BYTES)
            lines += line
            if not line or len(lines) > HEAD_BYTES:
                raise wrong
        if not lines.startswith(first) or self.left < len(last):
            raise wrong
        name = HeaderParser().parsestr(lines[len(first) :].decode("utf-8", "replace")).get_filename() or ""
        if self.left == len(last):
            raise Refused(HTTPStatus.BAD_REQUEST, "Choose a clip first.")
        try:
            with clip.open("xb") as file:
                while self.left > len(last):
                    data = self._read(self.rfile.read, min(self.left - len(last), CHUNK))
                    if not data:
                        raise wrong
                    file.write(data)
        except (TimeoutError, ConnectionError):
            raise
        except OSError as error:
            raise not_written(error, clip) from error
        if self._read(self.rfile.read, len(last)) != last:
            raise wrong
        return name[:SHOWN_CHARS]

    def _read(self, read: Callable[[int], bytes], most: int) -> bytes:
        """Read bytes of the body."""
        data = read(min(most, self.left))
        self.left -= len(data)
        return data

    def _answer(self, clip: Path, name: str, people: int) -> None:
        """Predict a clip and write its timeline; a dot for each window keeps the browser waiting."""
        request = Request(clip=clip, people=people, window_s=self.own.window_s, step_s=self.own.step_s)
        check_files(request)
        with closing(self.own.predict(request)) as windows:
            rows = [next(windows).row()]
            self._begin(HTTPStatus.OK)
            self._write(f"{self._form()}<p>Predicting ")
            try:
                for one in windows:
                    rows.append(one.row())
                    self._write(".")
                    if self.own.stopped.is_set():
                        return
            except FoalnetError as error:
                rows.append({"error": error_row(error)})
        self._write(f" done.</p>\n{section(name or 'clip', rows)}{TAIL}")

    def _form(self) -> str:
        """Return the page up to the end of its form."""
        own = self.own
        action = f"/?token={own.token}&amp;people="
        return (
            f"{head('Drop a clip', PAGE_POLICY)}<form method='post' enctype='multipart/form-data' action='{action}1'>\n"
            "<p><label>Clip: drop it on this field, or choose it. "
            f"<input type='file' name='clip' required='required' style='{DROP}'/></label></p>\n"
            "<p><button>One person fills the picture</button> "
            f"<button formaction='{action}2'>Two people sit side by side</button></p>\n</form>\n"
            f"<p>At most {own.most_bytes // 1_000_000} MB; windows of {own.window_s:g} s. "
            "The clip stays on this machine and is deleted after its prediction.</p>\n"
        )

    def _refuse(self, refused: Refused) -> None:
        self.close_connection = True
        self._begin(refused.status)
        self._write(
            f"{head('No prediction')}<p class='error'>{text_of(refused)}</p>\n<p><a href='/'>Back</a></p>\n{TAIL}"
        )
        self._linger()

    def _begin(self, status: HTTPStatus) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.send_header("Retry-After", "10")
        self.end_headers()

    def _write(self, text: str) -> None:
        self.wfile.write(text.encode())
        self.wfile.flush()

    def _linger(self) -> None:
        """Read what the browser still sends: it shows an answer only after that, and not one of a reset connection."""
        with suppress(OSError):
            self.connection.settimeout(LINGER_S)
            until_s = time.monotonic() + LINGER_S
            while self.left > 0 and time.monotonic() < until_s and self._read(self.rfile.read1, CHUNK):
                pass

    def log_message(self, format: str, *args: object) -> None:
        """Write no log: a request's address holds the token."""


def _status(error: FoalnetError) -> HTTPStatus:
    machine = isinstance(error, MachineError)
    return HTTPStatus.INTERNAL_SERVER_ERROR if machine else HTTPStatus.UNPROCESSABLE_ENTITY


def _sentence(error: FoalnetError) -> str:
    """Return an error without its file, which is the server's."""
    return f"{error.what}; {error.action}" if error.action else error.what
