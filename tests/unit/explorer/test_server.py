import asyncio
import sys

import pytest

from howfar.errors import MissingExtraError
from howfar.explorer import server


def ask(origin=None, host="127.0.0.1:1", kind="http"):
    """What `OnlyHere` sends in answer to a request to an application that says yes to everything."""
    sent = []

    async def says_yes(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        sent.append(message)

    headers = [(b"host", host.encode())] + ([(b"origin", origin.encode())] if origin else [])
    asyncio.run(server.OnlyHere(says_yes)({"type": kind, "headers": headers}, None, send))
    return sent


def test_every_answer_forbids_requests_to_other_hosts():
    (start,) = ask()
    policy = dict(start["headers"])[b"content-security-policy"].decode()
    assert "default-src 'self'" in policy
    assert "http" not in policy


def test_the_pages_own_requests_pass():
    assert ask(origin="http://127.0.0.1:1")[0]["status"] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:2"])
def test_other_sites_are_refused(origin):
    assert ask(origin=origin)[0]["status"] == 403
    assert ask(origin=origin, kind="websocket") == [{"type": "websocket.close", "code": 4403}]


def test_without_marimo_the_fix_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "marimo", None)
    with pytest.raises(
        MissingExtraError, match=r"needs marimo, which is not installed; .* pip install 'howfar\[app\]'"
    ):
        server.make_app("token")


def test_models_travel_by_the_environment(monkeypatch):
    models = ["a folder/with spaces", "owner/model"]
    monkeypatch.setenv(server.MODELS_VARIABLE, server.models_to_environment(models)[server.MODELS_VARIABLE])
    assert server.models_from_environment() == models


def test_tokens_cannot_be_guessed():
    assert len({server.new_token() for _ in range(100)}) == 100
    assert len(server.new_token()) >= 20
