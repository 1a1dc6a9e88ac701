import asyncio
import contextlib
import json
import socket
import sys
import threading

import pytest
import uvicorn

from howfar.errors import MissingExtraError
from howfar.explorer import connections, gate, server
from howfar.explorer.gate import OnlyHere


def ask(origin=None, host="127.0.0.1:1", kind="http", path="/", method="GET", body=b""):
    """What `OnlyHere` sends in answer to a request to an application that says yes to everything."""
    sent, received = [], []

    async def says_yes(scope, receive, send):
        if method == "POST":
            received.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": body}

    headers = ([(b"host", host.encode())] if host else []) + ([(b"origin", origin.encode())] if origin else [])
    scope = {"type": kind, "headers": headers, "path": path, "method": method, "query_string": b""}
    asyncio.run(OnlyHere(says_yes, ["known.example"])(scope, receive, send))
    assert [message["body"] for message in received if sent[0]["status"] == 200] == [body] * len(received)
    return sent


def test_every_answer_forbids_requests_to_other_hosts_and_pages_around_it():
    for sent in (ask(), ask(path="/etc/passwd"), ask(host="evil.example")):
        headers = dict(sent[0]["headers"])
        policy = headers[b"content-security-policy"].decode()
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'self'" in policy
        assert "http" not in policy
        assert headers[b"x-content-type-options"] == b"nosniff"


def test_the_pages_own_requests_pass():
    assert ask(origin="http://127.0.0.1:1")[0]["status"] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:2"])
def test_other_sites_are_refused(origin):
    assert ask(origin=origin)[0]["status"] == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("192.168.1.5", 200),
        ("localhost:8000", 200),
        ("LOCALHOST", 200),
        (socket.gethostname(), 200),
        ("known.example:443", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8000", 421),
        ("localhost.evil.example", 421),
        ("evil.example@127.0.0.1.evil.example", 421),
        ("[::1", 421),
        ("", 421),
    ],
)
def test_only_names_that_the_server_knows_are_answered(host, status):
    # A site whose own name is made to stand for this machine's address sends that name.
    assert ask(host=host, origin=f"http://{host}")[0]["status"] == status


def test_more_than_the_page_sends_is_refused():
    assert ask(method="POST", path="/read", body=b"x" * 1000)[0]["status"] == 200
    assert ask(method="POST", path="/read", body=b"x" * (gate.MAX_BODY + 1))[0]["status"] == 413


@pytest.mark.parametrize("path", ["/ws", "/terminal/ws", "/", "/read"])
def test_there_is_no_other_connection(path):
    assert ask(kind="websocket", path=path) == [{"type": "websocket.close", "code": 4404}]


class Client:
    """Asks an application, with or without the token's cookie."""

    def __init__(self, app, cookie=""):
        self.app, self.cookie = app, cookie

    def ask(self, method, path, body=b"", query=b""):
        """Status, headers and body."""
        sent, received = [], [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            return received.pop()

        async def send(message):
            sent.append(message)

        headers = [(b"host", b"127.0.0.1:1"), (b"cookie", self.cookie.encode())]
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "root_path": ""}
        scope |= {"method": method, "path": path, "raw_path": path.encode(), "query_string": query, "headers": headers}
        asyncio.run(self.app({**scope, "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2)}, receive, send))
        return sent[0]["status"], dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])

    def question(self, route, **asked):
        """The answer to a question."""
        status, _, body = self.ask("POST", f"/{route}", json.dumps(asked).encode())
        assert status == 200
        return json.loads(body)


@pytest.fixture
def open_to_all(inference):
    return Client(server.make_app(inference, None))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/folder.json", 200),
        ("GET", "/assets/page.js", 200),
        ("GET", "/assets/spacing.css", 200),
        ("GET", "/assets/worker.js", 404),
        ("GET", "/assets/../secret", 404),
        ("GET", "/assets/..%2fsecret", 404),
        ("GET", "/assets//etc/passwd", 404),
        ("GET", "//", 404),
        ("GET", "/read", 405),
        ("POST", "/", 405),
        ("DELETE", "/", 405),
        ("POST", "/api/kernel/run", 404),
        ("GET", "/openapi.json", 404),
    ],
)
def test_only_what_the_page_needs_is_there(open_to_all, method, path, status):
    assert open_to_all.ask(method, path)[0] == status


@pytest.mark.parametrize("route", ["read", "effects", "expect", "write", "panel", "save"])
@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b'{"model": "tiny"}', b"[" * 100_000, b"\xff"])
def test_what_is_no_question_is_answered_by_a_sentence(open_to_all, route, body):
    status, _, answer = open_to_all.ask("POST", f"/{route}", body)
    assert status == 200
    assert json.loads(answer)["error"].endswith("; reload the page")


def test_questions_are_answered_or_refused_by_a_sentence(open_to_all):
    asked = {"model": "tiny", "text": "Ada 图", "cells": [4], "moves": {"all:4": 2}}
    assert open_to_all.question("read", **asked)["content"]["texts"][0]["labels"] == list("Ada 图")
    assert len(open_to_all.question("expect", **asked)["expected"]) == 8
    (panel,) = open_to_all.question("panel", panel="attention", **asked)["panels"]
    assert all(chart["svg"].startswith("<svg") for chart in panel["charts"])
    assert open_to_all.question("panel", panel="context", model="plain", text="a")["panels"][0]["error"]
    for text, sentence in (("", "the text is empty"), ("x" * 60_000, "at most 50,000"), ("\ud800", "lone surrogate")):
        assert sentence in open_to_all.question("read", model="tiny", text=text)["error"]
    assert "this page has no model '/etc'" in open_to_all.question("read", model="/etc", text="a")["error"]
    assert (
        "no 'x' to save as" in open_to_all.question("save", what="x", kind="svg", panel="attention", **asked)["error"]
    )


def test_files_have_their_type(open_to_all):
    asked = {"model": "tiny", "text": "Ada", "panel": "numbers"}
    for what, kind, start in (
        ("spacing", "svg", b"<svg"),
        ("numbers", "parquet", b"PAR1"),
        ("numbers", "csv", b"\xef"),
    ):
        body = json.dumps({**asked, "what": what, "kind": kind}).encode()
        status, headers, answer = open_to_all.ask("POST", "/save", body)
        assert (status, answer[: len(start)]) == (200, start)
        assert headers[b"content-type"].decode().split(";")[0] in (*server.TYPES.values(), "application/octet-stream")


def test_without_the_token_nothing_but_its_form_is_shown(inference):
    app = server.make_app(inference, "secret")
    stranger = Client(app)
    for query in (b"", b"access_token=", b"access_token=Secret", "access_token=é".encode()):
        status, headers, body = stranger.ask("GET", "/", query=query)
        assert (status, b"set-cookie" in headers, b"password" in body) == (401, False, True)
    assert stranger.ask("GET", "/folder.json")[0] == 401
    for route in ("read", "effects", "expect", "write", "panel", "save"):
        assert stranger.ask("POST", f"/{route}", b"{}")[0] == 401
    status, headers, _ = stranger.ask("GET", "/", query=b"access_token=secret")
    assert (status, headers[b"location"]) == (303, b"./")
    said = headers[b"set-cookie"].decode()
    assert "HttpOnly" in said
    guest = Client(app, said.split(";")[0])
    assert guest.ask("GET", "/")[0] == guest.ask("GET", "/folder.json")[0] == 200
    assert Client(app, said.split(";")[0] + "x").ask("GET", "/folder.json")[0] == 401


@pytest.fixture
def address():
    """Of a server, in a thread, whose application says yes to everything."""

    async def says_yes(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"yes"})

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(says_yes, http=connections.ImpatientProtocol, log_level="error", lifespan="off")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield listener.getsockname()
    running.should_exit = True
    thread.join(30)


def get(address):
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_half_open_requests_keep_nobody_out(address, monkeypatch):
    monkeypatch.setattr(connections, "MAX_WAITING", 8)
    half_open = [socket.create_connection(address, timeout=30) for _ in range(40)]
    for connection in half_open:
        with contextlib.suppress(OSError):  # it was closed for the next one
            connection.sendall(b"GET / HTTP/1.1\r\nhost: 127")
    assert b"yes" in get(address)
    for connection in half_open:
        connection.close()


@pytest.mark.parametrize("beginning", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HT"])
def test_a_request_that_does_not_end_is_not_waited_for(address, monkeypatch, beginning):
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.2)
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(beginning)
        with contextlib.suppress(ConnectionError):
            while connection.recv(4096):
                pass  # the answer to the first request, where there was one; then the end
    assert b"yes" in get(address)


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_without_the_extra_the_fix_is_named(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    needed = rf"needs {package}, which is not installed; .* pip install -c constraints.txt '.\[app\]'"
    with pytest.raises(MissingExtraError, match=needed):
        server.make_app(None, "token")


def test_tokens_cannot_be_guessed():
    assert len({server.new_token() for _ in range(100)}) == 100
    assert len(server.new_token()) >= 20
