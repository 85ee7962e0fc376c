"""Fifty browsers in real time, alone and beside hostile clients. Lags are printed, never judged."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest

from tests.runtime.server.conftest import Serve
from tests.runtime.server.load import Client, due, streams

CLIENTS, SECONDS = 50, 30.0


def summary(clients: Sequence[Client]) -> str:
    lags = np.concatenate([client.lags for client in clients]) * 1e3
    median, p95, most = np.percentile(lags, [50, 95, 100])
    complete = f"{sum(map(is_complete, clients))} of {len(clients)} complete"
    return f"{complete}, lag median {median:.0f} ms, p95 {p95:.0f} ms, max {most:.0f} ms"


def is_complete(client: Client) -> bool:
    return client.states == {"ok"} and client.ends == due(client.sent_s)


@pytest.mark.slow
def test_hostile_clients_cost_fifty_browsers_nothing(serve: Serve) -> None:
    server = serve("--source", "browser")
    calm = asyncio.run(streams(server.socket_url, CLIENTS, SECONDS))
    before = server.memory_mb()
    print(f"alone: {summary(calm)}, {before:.0f} MB, {server.cpu_s():.1f} s of CPU")
    if not all(map(is_complete, calm)):
        pytest.skip("this machine is too busy for fifty browsers even without hostile clients")
    hostile = subprocess.Popen([sys.executable, "-m", "tests.runtime.server.hostile", str(server.port)])
    try:
        beside = asyncio.run(streams(server.socket_url, CLIENTS, SECONDS))
    finally:
        hostile.kill()
        hostile.wait()
    print(f"beside hostile clients: {summary(beside)}, {server.memory_mb():.0f} MB")
    print(server.request("/metrics")[2].decode())
    assert all(map(is_complete, beside))
    assert server.memory_mb() < before + 60
    assert not [line for line in server.lines if "Traceback" in line], server.lines
