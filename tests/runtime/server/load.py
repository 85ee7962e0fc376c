"""Many browsers at a time, each in real time: how late their results are, and what reaches them.

``python -m tests.runtime.server.load ws://127.0.0.1:8765 50 60`` prints the numbers.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field

import numpy as np
from websockets.asyncio.client import connect

RATE = 48_000
BLOCK = 2_400  # 50 ms, as the page sends them


@dataclass
class Client:
    """What one browser saw.

    Attributes:
        ends: of the windows it got, seconds of its stream.
        lags: from sending a window's last sample to the window's arrival, seconds.
        sent_s: audio that it sent.
    """

    ends: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    states: set[str] = field(default_factory=set)
    sent_s: float = 0.0


def blocks(seed: int) -> list[bytes]:
    """Two seconds of noise, in blocks."""
    noise = np.random.default_rng(seed).normal(scale=3000, size=(40, BLOCK))
    return [block.astype("<i2").tobytes() for block in noise]


async def stream(url: str, seconds: float, seed: int = 0) -> Client:
    """Send noise in real time and collect the windows."""
    client, sent_at = Client(), list[float]()
    async with connect(f"{url}/ws/microphone", compression=None) as socket:
        await socket.send(json.dumps({"type": "start", "sample_rate": RATE}))
        assert json.loads(await socket.recv())["type"] == "started"

        async def send() -> None:
            noise, begun = blocks(seed), time.monotonic()
            for number in range(round(seconds * RATE / BLOCK)):
                await asyncio.sleep(begun + number * BLOCK / RATE - time.monotonic())
                await socket.send(noise[number % len(noise)])
                sent_at.append(time.monotonic())
            client.sent_s = len(sent_at) * BLOCK / RATE
            await socket.send('{"type":"stop"}')

        sending = asyncio.create_task(send())
        async for message in socket:
            if '"type":"window"' not in message[:20]:
                continue
            window = json.loads(message)
            now, block = time.monotonic(), round(window["end_s"] * RATE / BLOCK)
            client.ends.append(window["end_s"])
            client.states.add(window["state"])
            if block < len(sent_at):  # the resampler needs some samples beyond the window's end
                client.lags.append(now - sent_at[block])
        await sending
    return client


async def streams(url: str, count: int, seconds: float) -> list[Client]:
    """So many of them, which begin within a second."""

    async def later(number: int) -> Client:
        await asyncio.sleep(number / count)
        return await stream(url, seconds, number)

    return list(await asyncio.gather(*(later(number) for number in range(count))))


def due(seconds: float, hop_s: float = 0.25, clip_s: float = 1.0) -> list[float]:
    """The ends of the windows of a stream."""
    return [clip_s + hop_s * index for index in range(int((seconds - clip_s) / hop_s) + 1)]


if __name__ == "__main__":
    found = asyncio.run(streams(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
    lags = np.concatenate([client.lags for client in found])
    complete = sum(client.ends == due(client.sent_s) for client in found)
    print(
        f"{complete} of {len(found)} got every window; lag median {np.median(lags) * 1e3:.0f} ms, "
        f"p95 {np.percentile(lags, 95) * 1e3:.0f}, p99 {np.percentile(lags, 99) * 1e3:.0f}, "
        f"max {lags.max() * 1e3:.0f}"
    )
