"""A server in a process of its own, as a user starts it."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")
pytest.importorskip("websockets", reason="the extra serve is not installed")

START_S = 60


@dataclass
class Server:
    """A running `python -m runtime serve`."""

    process: subprocess.Popen[str]
    port: int = 0
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def request(
        self, path: str, method: str = "GET", body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask as any program may: (status, headers, body)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            sent = {"host": f"127.0.0.1:{self.port}", **headers}
            if body is not None:
                sent["content-length"] = str(len(body))
            for name, value in sent.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders(body)
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def json(self, path: str, **more: Any) -> Any:
        status, _, body = self.request(path, **more)
        assert status == 200, (status, body)
        return json.loads(body)

    def memory_mb(self) -> float:
        """Resident now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        self.process.send_signal(with_signal)
        return self.process.wait(30)


Serve = Callable[..., Server]


def start(*arguments: str | Path) -> Server:
    """Start a server on a free port and wait until it says where the page is."""
    command = [sys.executable, "-m", "runtime", "serve", "--port", "0", *map(str, arguments)]
    server = Server(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    ready = threading.Event()

    def read() -> None:
        assert server.process.stderr is not None
        for line in server.process.stderr:
            server.lines.append(line)
            if found := re.search(r"the page: \w+://\S+:(\d+)/", line):
                server.port = int(found[1])
                ready.set()
        ready.set()

    threading.Thread(target=read, daemon=True).start()
    assert ready.wait(START_S) and server.port, server.lines
    return server


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers, which end with the test."""
    started: list[Server] = []

    def start_one(*arguments: str | Path) -> Server:
        started.append(start(*arguments))
        return started[-1]

    yield start_one
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait(30)


@pytest.fixture(scope="module")
def server(model_path: Path) -> Iterator[Server]:
    """One server for the tests of a module: browsers only, the tiny model."""
    running = start("--source", "browser", "--model", model_path)
    yield running
    assert running.process.poll() is None, running.lines  # whatever the tests sent, it still runs
    running.stop()
    assert not [line for line in running.lines if "Traceback" in line], running.lines
