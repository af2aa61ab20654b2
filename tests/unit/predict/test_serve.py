"""The page of `foalnet serve`: a dropped clip has a timeline, and a page of another site cannot use it."""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from foalnet.core.errors import DataError, MachineError
from foalnet.predict import ClipPrediction, Request
from foalnet.predict.answer import Frames, Unanswered
from foalnet.predict.serve import HOST, Server
from tests.support.corpus.videos import write_clip
from tests.support.models import model_of

BOUNDARY = "----WebKitFormBoundary7MA4YWxk"
Answers = Generator[ClipPrediction | Unanswered, None, None]


def answer(start_s: float = 0.0) -> ClipPrediction:
    return ClipPrediction(
        key="clip", side="whole", label="sad", probabilities={"sad": 0.75, "happy": 0.25}, sound="found",
        picture="none", frames=Frames(), start_s=start_s, end_s=start_s + 2.0,
    )  # fmt: skip


def two_windows(_: Request) -> Answers:
    yield answer()
    yield answer(1.0)


@contextmanager
def serving(predict: Callable[[Request], Answers] = two_windows, most_bytes: int = 1_000_000) -> Iterator[Server]:
    with Server(predict, port=0, window_s=2.0, step_s=None, most_bytes=most_bytes) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def send(server: Server, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str, Any]:
    """Return status, text and headers of an answer."""
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=20)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): each for name, each in headers.items()})
        got = connection.getresponse()
        return got.status, got.read().decode(), got.headers
    finally:
        connection.close()


def body_of(data: bytes, name: str = "clip.mp4") -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="clip"; filename="{name}"\r\n'
    return f"{head}Content-Type: video/mp4\r\n\r\n".encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def post(
    server: Server, data: bytes, *, people: int = 1, name: str = "clip.mp4", **headers: str
) -> tuple[int, str, Any]:
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    action = f"/?token={server.token}&people={people}"
    return send(server, "POST", action, body_of(data, name), **({"Content_Type": kind} | headers))


def empty(server: Server) -> bool:
    return list(server.work.iterdir()) == []


def test_the_page_has_a_form_and_a_policy_without_script() -> None:
    with serving() as server:
        status, text, headers = send(server, "GET", "/")
        assert status == 200 and headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "script" not in headers["Content-Security-Policy"] and "<script" not in text
        assert headers["X-Frame-Options"] == "DENY" and headers["Cache-Control"] == "no-store"
        form = next(ET.fromstring(text).iter("form"))
        assert form.get("action") == f"/?token={server.token}&people=1" and len(server.token) >= 40
        assert send(server, "GET", "/etc/passwd")[0] == 404
        assert server.server_address[0] == "127.0.0.1"


def test_a_dropped_clip_has_a_timeline_and_is_removed(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", seconds=1.5)
    seen: list[Request] = []
    model = model_of(tmp_path / "model")

    def predict(request: Request) -> Answers:
        assert request.clip.read_bytes() == clip.read_bytes()
        seen.append(request)
        yield from model.windows(request)

    with serving(predict) as server:
        status, text, _ = post(server, clip.read_bytes(), people=2, name='../../"<b>é.mp4'.replace('"', "%22"))
        assert status == 200 and empty(server)
        ET.fromstring(text)
        assert "&lt;b&gt;é.mp4" in text and "<b>" not in text and "Likeliest class" in text
        assert (seen[0].people, seen[0].window_s) == (2, 2.0)
        assert seen[0].clip.name == "clip" and server.work in seen[0].clip.parents
    assert not server.work.exists()


@pytest.mark.parametrize("token", ["", "?token=", "?token=wrong", "?token=%C3%A9"])
def test_a_post_without_the_token_is_refused(token: str) -> None:
    with serving() as server:
        status, text, _ = send(server, "POST", f"/{token}", body_of(b"x"))
        assert status == 403 and server.token not in text


@pytest.mark.parametrize("host", ["example.org", "example.org:{port}", "127.0.0.1", "localhost.example.org:{port}", ""])
def test_another_name_of_the_server_is_refused(host: str) -> None:
    with serving() as server:
        name = host.format(port=server.server_port)
        status, text, _ = send(server, "GET", "/", Host=name)
        assert status == 403 and server.token not in text
        assert post(server, b"x", Host=name)[0] == 403
        assert send(server, "GET", "/", Host=f"localhost:{server.server_port}")[0] == 200


def test_a_clip_above_the_limit_is_refused_before_it_is_stored() -> None:
    with serving(most_bytes=1_000_000) as server:
        status, text, _ = post(server, bytes(1_100_000))
        assert status == 413 and "1 MB" in text and empty(server)
        assert post(server, b"RIFF")[0] == 200


def test_while_a_clip_is_predicted_another_has_to_wait() -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(_: Request) -> Answers:
        begun.set()
        assert go.wait(20)
        yield answer()

    with serving(slow) as server:
        first: list[int] = []
        thread = threading.Thread(target=lambda: first.append(post(server, b"RIFF")[0]))
        thread.start()
        assert begun.wait(20)
        status, _, headers = post(server, b"RIFF")
        assert status == 503 and int(headers["Retry-After"]) > 0
        assert send(server, "GET", "/")[0] == 200
        go.set()
        thread.join()
        assert first == [200] and post(server, b"RIFF")[0] == 200


def test_a_bad_clip_is_answered_with_the_reason(tmp_path: Path) -> None:
    with serving(model_of(tmp_path).windows) as server:
        status, text, _ = post(server, b"this is no clip")
        assert status == 422 and "the clip cannot be read" in text and str(server.work) not in text
        assert post(server, b"")[0] == 400 and empty(server)


def test_an_error_after_the_first_window_is_on_the_page() -> None:
    def broken(_: Request) -> Answers:
        yield answer()
        raise DataError("it <ends> here", action="mend it")

    with serving(broken) as server:
        status, text, _ = post(server, b"RIFF")
        assert status == 200 and "it &lt;ends&gt; here Next: mend it." in text
        ET.fromstring(text)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": "text/plain"}, 400),
        ({"Content_Type": "multipart/form-data"}, 400),
        ({"Content_Type": "multipart/form-data; boundary=other"}, 400),
        ({"Content_Length": "-1"}, 411),
        ({"Content_Length": "9" * 30}, 411),
        ({"Transfer_Encoding": "chunked"}, 411),
    ],
)
def test_a_request_of_another_form_is_refused(headers: dict[str, str], status: int) -> None:
    with serving() as server:
        assert post(server, b"RIFF", people=1, name="clip.mp4", **headers)[0] == status
        assert empty(server)


def test_a_browser_that_goes_away_leaves_no_file() -> None:
    with serving() as server:
        with socket.create_connection((HOST, server.server_port)) as connection:
            body = body_of(bytes(10_000))
            connection.sendall(
                f"POST /?token={server.token} HTTP/1.1\r\nHost: {HOST}:{server.server_port}\r\n"
                f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body[:5000]
            )
        until_s = time.monotonic() + 20
        while (status := post(server, b"RIFF")[0]) == 503 and time.monotonic() < until_s:
            time.sleep(0.02)
        assert status == 200 and empty(server)


def test_closing_ends_a_prediction_at_its_next_window_and_removes_the_clip() -> None:
    begun, ended = threading.Event(), threading.Event()

    def endless(_: Request) -> Answers:
        try:
            while True:
                yield answer()
                begun.set()
        finally:
            ended.set()

    with serving(endless) as server:
        thread = threading.Thread(target=lambda: post(server, b"RIFF"), daemon=True)
        thread.start()
        assert begun.wait(20) and not empty(server)
    assert ended.is_set() and not server.work.exists()


def test_a_taken_port_is_an_error_that_says_so() -> None:
    with serving() as server, pytest.raises(MachineError, match="cannot be opened") as caught:
        Server(two_windows, port=server.server_port, window_s=2.0, step_s=None, most_bytes=1)
    assert "--port" in str(caught.value)


def test_tokens_differ_from_start_to_start() -> None:
    with serving() as one, serving() as other:
        assert one.token != other.token and re.fullmatch(r"[\w-]{43}", one.token)
