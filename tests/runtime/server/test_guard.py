"""Who is refused: foreign hosts, foreign origins, wrong tokens, and paths that lead out of the page."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from runtime.server.web.guard import Access
from tests.runtime.server.conftest import Server, start

TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def secret(model_path: Path) -> Iterator[Server]:
    """A server that asks for a token."""
    running = start("--source", "browser", "--model", model_path, "--token", TOKEN)
    yield running
    running.stop()
    assert not [line for line in running.lines if "Traceback" in line or TOKEN in line], running.lines


def opened(server: Server, **headers: str) -> int:
    """The status of a WebSocket that is asked for."""

    async def ask() -> int:
        try:
            async with connect(f"{server.socket_url}/ws/microphone", additional_headers=headers):
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "localhost.evil.example", "", "192.0.2.1",
     "[::ffff:192.0.2.1]", "localhost@evil.example", "evil.example/localhost", "localhost:port", "a b"],
)  # fmt: skip
def test_a_foreign_host_is_refused(server: Server, host: str) -> None:
    for path in ("/", "/api/model", "/static/main.js"):
        assert server.request(path, host=host)[0] == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:80", "[::1]:8765"])
def test_the_names_of_this_machine_are_accepted(server: Server, host: str) -> None:
    assert server.request("/", host=host)[0] == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "", "file://", "http://127.0.0.1", "http://127.0.0.1:1", "https://localhost",
     "http://127.0.0.1.evil.example", "http://["],
)  # fmt: skip
def test_a_foreign_origin_opens_no_websocket_and_sends_no_request(server: Server, origin: str) -> None:
    assert opened(server, Origin=origin) == 403
    assert server.request("/api/classify", "POST", b"x", origin=origin)[0] == 403


def test_the_origin_of_the_page_itself_opens_one(server: Server) -> None:
    assert opened(server, Origin=server.url) == 101


@pytest.mark.parametrize("path", ["/", "/api/model", "/api/events", "/api/day?date=2026-01-01", "/metrics",
                                  "/static/main.js", "/api/events/1/sound.wav", "/nothing"])  # fmt: skip
def test_nothing_is_shown_without_the_token(secret: Server, path: str) -> None:
    status, headers, body = secret.request(path)
    assert (status, headers.get("location")) == ((303, "/login") if path == "/" else (401, None))
    assert b"esc10" not in body and b"tiny" not in body
    assert opened(secret) == 401


def test_the_token_opens_everything_to_a_program(secret: Server) -> None:
    authorization = f"Bearer {TOKEN}"
    assert secret.request("/api/models", authorization=authorization)[0] == 200
    assert opened(secret, Authorization=authorization) == 101


@pytest.mark.parametrize(
    "authorization", ["Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"]
)
def test_a_wrong_token_is_refused(secret: Server, authorization: str) -> None:
    assert secret.request("/api/models", authorization=authorization)[0] == 401


def test_a_browser_logs_in_by_the_form(secret: Server) -> None:
    form = {"content_type": "application/x-www-form-urlencoded"}
    status, _, body = secret.request("/login", "POST", b"token=wrong", **form)
    assert status == 401 and b"not the token" in body
    status, headers, _ = secret.request("/login", "POST", f"token={TOKEN}".encode(), **form)
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
    cookie = cookie.partition(";")[0]
    assert secret.request("/", cookie=cookie)[0] == 200
    assert opened(secret, Cookie=cookie) == 101
    for wrong in ("tinyscene=", "tinyscene=1", "tinyscene=é", f"tinyscene={TOKEN}", ";;=;", "tinyscene"):
        assert secret.request("/api/models", cookie=wrong)[0] == 401


def test_tokens_cannot_be_guessed_at_speed(model_path: Path) -> None:
    server = start("--source", "browser", "--model", model_path, "--token", TOKEN)
    try:
        guesses = [server.request("/api/models", authorization=f"Bearer guess{n}")[0] for n in range(60)]
        assert guesses[0] == 401 and guesses[-1] == 429
        assert server.request("/login", "POST", b"token=guess")[0] == 429
        assert server.request("/api/models", authorization=f"Bearer {TOKEN}")[0] == 200  # the right one works
    finally:
        server.stop()


@pytest.mark.parametrize(
    "path",
    ["/static/../api.py", "/static/..%2fapi.py", "/static/%2e%2e/web/api.py", "/../../../../etc/passwd",
     "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static/main.js%00.css", "/static/", "/static",
     "/static/..\\api.py", "/api/events/..%2f..%2f/sound.wav", "/api/events/-1/sound.wav",
     "/api/events/1e3/sound.wav", "/api/events/99999999999999999999/sound.wav", "//etc/passwd", "/%ff"],
)  # fmt: skip
def test_no_path_leads_out_of_the_page(server: Server, path: str) -> None:
    status, _, body = server.request(path)
    assert status == 404 and b"root:" not in body and b"import" not in body


@pytest.mark.parametrize("name", ["../tiny", "/etc/passwd", "tiny.onnx", "", "tiny%00", "%2e%2e%2ftiny"])
def test_no_name_of_a_model_becomes_a_path(server: Server, name: str) -> None:
    assert server.request(f"/api/model?name={name}")[0] == 404
    assert server.request(f"/api/classify?model={name}", "POST", b"RIFF")[0] == 404


@pytest.mark.parametrize(
    "path", ["/", "/login", "/static/style.css", "/api/model", "/nothing", "/static/none"]
)
def test_every_answer_has_the_headers_that_protect_the_page(server: Server, path: str) -> None:
    _, headers, _ = server.request(path)
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "*" not in policy and "http" not in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers and "server" not in headers


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere() -> None:
    folder = Path(__file__).parents[3] / "runtime" / "server" / "static"
    for page in folder.glob("*.html"):
        text = page.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon[a-z]+=|javascript:", text)
        assert not re.search(r"(?:src|href|action)=[\"'](?!/(?!/)|#)", text), page
    for code in [*folder.glob("*.js"), *folder.glob("*.css")]:
        text = code.read_text()
        assert "https://" not in text and "http://" not in text, code
        assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text), code


@pytest.mark.parametrize(
    ("host", "token", "insecure", "named"),
    [
        ("0.0.0.0", None, False, "--token"),
        ("192.0.2.1", None, False, "--insecure"),
        ("::", None, False, "--token"),
        ("127.0.0.1", "short", False, "8 characters"),
    ],
)
def test_another_host_needs_a_token(host: str, token: str | None, insecure: bool, named: str) -> None:
    from runtime.errors import ConfigError
    from runtime.server.web.app import check_access

    with pytest.raises(ConfigError, match=named):
        check_access(host, token, insecure)
    check_access("127.0.0.1", None, False)
    check_access("0.0.0.0", None, True)
    check_access("0.0.0.0", TOKEN, False)


def test_the_command_refuses_another_host_in_one_sentence() -> None:
    command = [sys.executable, "-m", "runtime", "serve", "--host", "0.0.0.0", "--source", "browser"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_a_key_without_a_certificate_is_refused_before_the_model_is_loaded(tmp_path: Path) -> None:
    from runtime.cli.main import main
    from runtime.errors import ConfigError

    with pytest.raises(ConfigError, match="give --certificate"):
        main(["serve", "--source", "browser", "--model", str(tmp_path / "none.onnx"), "--key", "key.pem"])


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70_000), ("127.0.0.1", -1), ("a..b", 0)])
def test_an_address_that_is_none_is_one_sentence(host: str, port: int) -> None:
    from runtime.errors import ConfigError
    from runtime.server.web.app import Address, open_socket

    with pytest.raises(ConfigError, match="--port"):
        open_socket(Address(host, port))


def test_on_a_public_address_only_addresses_and_own_names_are_hosts() -> None:
    access = Access("0.0.0.0", TOKEN, frozenset({"garden.example"}))
    for host in (
        "192.0.2.7:8765",
        "[2001:db8::1]:8765",
        "garden.example",
        "Garden.Example:8765",
        "localhost",
    ):
        assert access.is_host(host), host
    for host in ("evil.example", "garden.example.evil.example", "192.0.2.7.evil.example"):
        assert not access.is_host(host), host
