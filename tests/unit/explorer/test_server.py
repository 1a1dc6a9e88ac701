import asyncio
import contextlib
import socket
import sys
import threading
from pathlib import Path

import pytest
import uvicorn

from howfar.errors import MissingExtraError
from howfar.explorer import connections, gate, server
from howfar.explorer.gate import OnlyHere


def ask(
    origin=None, host="127.0.0.1:1", kind="http", path="/", method="GET", body=b"", answer=b"", query=b"", **options
):
    """What `OnlyHere` sends in answer to a request to an application that says yes to everything."""
    sent, received = [], []

    async def says_yes(scope, receive, send):
        if method == "POST":
            received.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        if answer:
            await send({"type": "http.response.body", "body": answer[:20], "more_body": True})
            await send({"type": "http.response.body", "body": answer[20:]})

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": body}

    headers = ([(b"host", host.encode())] if host else []) + ([(b"origin", origin.encode())] if origin else [])
    scope = {"type": kind, "headers": headers, "path": path, "method": method, "query_string": query}
    asyncio.run(OnlyHere(says_yes, ["known.example"], **options)(scope, receive, send))
    assert [message["body"] for message in received if sent[0]["status"] == 200] == [body] * len(received)
    return sent


def test_every_answer_forbids_requests_to_other_hosts_and_pages_around_it():
    for sent in (ask(), ask(path="/etc/passwd"), ask(host="evil.example")):
        headers = dict(sent[0]["headers"])
        policy = headers[b"content-security-policy"].decode()
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'self'" in policy
        assert "http" not in policy
        assert headers[b"x-content-type-options"] == b"nosniff"


def test_the_pages_own_requests_pass():
    assert ask(origin="http://127.0.0.1:1")[0]["status"] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:2"])
def test_other_sites_are_refused(origin):
    assert ask(origin=origin)[0]["status"] == 403
    assert ask(origin=origin, kind="websocket", path="/ws") == [{"type": "websocket.close", "code": 4403}]


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
    if status != 200:
        assert ask(host=host, kind="websocket", path="/ws") == [{"type": "websocket.close", "code": 4421}]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/assets/index-1a2B_3.js", 200),
        ("GET", "/auth/login", 200),
        ("POST", "/api/kernel/set_ui_element_value", 200),
        ("GET", "/@file/10-77-abcdefgh.js", 200),
        ("GET", "/@file/10-NAME", 404),
        ("GET", "/@file/10-../77-abcdefgh.js", 404),
        ("GET", "/@file/10-77-abcdefgh.js/x", 404),
        ("GET", "/assets/../secret", 404),
        ("GET", "/assets/..%2fsecret", 404),
        ("GET", "//", 404),
        ("GET", "/api/kernel/set_ui_element_value", 404),
        ("POST", "/", 404),
        ("DELETE", "/", 404),
        ("POST", "/api/kernel/run", 404),
        ("POST", "/api/kernel/execute", 404),
        ("GET", "/api/environment", 404),
        ("GET", "/api/status", 404),
        ("POST", "/api/files/list_files", 404),
        ("GET", "/public/x", 404),
        ("GET", "/\n", 404),
    ],
)
def test_only_what_the_page_needs_is_there(method, path, status):
    own = {"own_file": lambda name: name == "77-abcdefgh.js"}
    assert ask(method=method, path=path, **own)[0]["status"] == status


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (b"", 200),
        (b"text=a%2Fcat&model=owner%2Fname", 200),
        (b"file=notebook.py", 200),
        (b"file=%2Fsrv%2Fhowfar%2Fnotebook.py", 404),
        (b"a=1&file=..%2Fnotebook.py", 404),
        (b"file=C%3A%5Csrv%5Cnotebook.py", 404),
    ],
)
def test_a_place_on_the_server_cannot_be_guessed(query, status):
    assert ask(query=query)[0]["status"] == status
    if status != 200:
        assert ask(kind="websocket", path="/ws", query=query) == [{"type": "websocket.close", "code": 4404}]


@pytest.mark.parametrize("path", ["/terminal/ws", "/ws_sync", "/", "/ws/"])
def test_only_the_pages_own_connection_is_there(path):
    assert ask(kind="websocket", path=path) == [{"type": "websocket.close", "code": 4404}]


def test_more_than_the_page_sends_is_refused():
    path = "/api/kernel/set_ui_element_value"
    assert ask(method="POST", path=path, body=b"x" * 1000)[0]["status"] == 200
    assert ask(method="POST", path=path, body=b"x" * (gate.MAX_BODY + 1))[0]["status"] == 413


def test_visitors_do_not_learn_where_the_page_lies():
    folder = Path("/srv/some where/app")
    page = b'<a href="/srv/some where/app/notebook.py" b="file:///srv/some%20where/app/notebook.py" c="/" d="/srv">'
    start, body = ask(answer=page, hidden=folder)
    assert body["body"] == b'<a href="notebook.py" b="notebook.py" c="/" d="">'
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()


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


def test_without_marimo_the_fix_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "marimo", None)
    with pytest.raises(
        MissingExtraError, match=r"needs marimo, which is not installed; .* pip install -c constraints.txt '.\[app\]'"
    ):
        server.make_app("token")


def test_models_travel_by_the_environment(monkeypatch):
    models = ["a folder/with spaces", "owner/model"]
    monkeypatch.setenv(server.MODELS_VARIABLE, server.models_to_environment(models)[server.MODELS_VARIABLE])
    assert server.models_from_environment() == models


def test_tokens_cannot_be_guessed():
    assert len({server.new_token() for _ in range(100)}) == 100
    assert len(server.new_token()) >= 20
