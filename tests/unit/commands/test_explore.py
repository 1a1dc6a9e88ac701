"""Where the explorer listens, and the address that it prints."""

import socket
from typing import Any

import pytest

from howfar.explorer import server

from .conftest import Run


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """The sockets that the explorer would serve."""
    listeners: list[socket.socket] = []
    monkeypatch.setattr(server, "serve", lambda _, listener: listeners.append(listener))
    monkeypatch.setattr(server, "prepare", lambda: None)
    return listeners


def explore(run: Run, host: str) -> Any:
    return run("explore", "chinese-per-layer", "--no-browser", "--no-token", "--host", host)


@pytest.mark.parametrize(
    ("host", "written"), [("127.0.0.1", "127.0.0.1"), ("localhost", "localhost"), ("::1", "[::1]")]
)
def test_the_printed_address_can_be_opened(run: Run, served: list[socket.socket], host: str, written: str) -> None:
    code, said, errors = explore(run, host)
    if host == "::1" and "Cannot assign requested address" in errors:
        pytest.skip("this machine has no IPv6")
    assert code == 0, errors
    with served[0] as listener:
        port = listener.getsockname()[1]
        assert f"The explorer is at http://{written}:{port}/ until" in said
        socket.create_connection((host, port)).close()


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("", "--host is empty; give an address of this machine, or 0.0.0.0 for all of them"),
        ("no.such.host.invalid", "cannot listen at no.such.host.invalid:0 ("),
        ("a" * 70, "(it is no host name); choose another --port or --host"),
    ],
)
def test_a_host_that_is_none_of_this_machine_is_refused(
    run: Run, served: list[socket.socket], host: str, message: str
) -> None:
    code, _, errors = explore(run, host)
    assert code == 2
    assert errors.count("\n") == 1
    assert message in errors
    assert not served
