"""Clients that no server should have, and what becomes of them."""

from __future__ import annotations

import base64
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

START = '{"type":"start","sample_rate":48000}'
TEXT, BINARY, PING = 0x1, 0x2, 0x9


async def closed(socket: ClientConnection) -> tuple[int, str]:
    """Read until the server closes: (code, reason); 1006 where it just cut the connection."""
    try:
        while True:
            await socket.recv()
    except ConnectionClosed as end:
        return (end.rcvd.code, end.rcvd.reason) if end.rcvd else (1006, "")


async def say(url: str, *messages: str | bytes) -> tuple[int, str]:
    """Send messages to ``/ws/microphone`` and wait for the end."""
    async with connect(f"{url}/ws/microphone", compression=None, max_size=None) as opened:
        try:
            for message in messages:
                await opened.send(message)
        except ConnectionClosed:
            pass
        return await closed(opened)


class RawSocket:
    """A WebSocket by hand, which sends whatever it likes and reads only when told to."""

    def __init__(self, port: int, path: str = "/ws/microphone") -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        assert b" 101 " in self.socket.recv(4096)

    def send(self, opcode: int, data: bytes, fin: bool = True) -> None:
        """One frame, masked with zeros."""
        size = len(data)
        if size < 126:
            head = struct.pack("!BB", fin << 7 | opcode, 0x80 | size)
        elif size < 2**16:
            head = struct.pack("!BBH", fin << 7 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", fin << 7 | opcode, 0x80 | 127, size)
        self.socket.sendall(head + bytes(4) + data)

    def send_until_cut_off(self, frame: tuple[int, bytes, bool], most_bytes: int, seconds: float) -> int:
        """Send a frame again and again, reading nothing: the bytes until the server cut the connection."""
        sent, begun = 0, time.monotonic()
        try:
            while sent < most_bytes and time.monotonic() < begun + seconds:
                self.send(*frame)
                sent += len(frame[1]) + 6
        except (ConnectionError, BrokenPipeError):
            return sent
        except TimeoutError:  # the server reads no more: that is as good
            return sent
        raise AssertionError(f"{sent} bytes were taken")

    def close(self) -> None:
        self.socket.close()


def flood(port: int) -> None:
    """As much audio as fits through the connection, until it is cut."""
    raw = RawSocket(port)
    raw.send(TEXT, START.encode())
    with suppress(OSError):
        while True:
            raw.send(BINARY, bytes(96_000))


def garbage(port: int) -> None:
    """Bytes that are not even frames, then text that is not UTF-8, then text that is no JSON."""
    for opcode, data in ((0x3, os.urandom(100)), (TEXT, b"\xff\xfe"), (TEXT, b"hello"), (BINARY, b"x")):
        raw = RawSocket(port)
        with suppress(OSError):
            raw.send(opcode, data)
            while raw.socket.recv(4096):
                pass
        raw.close()


def huge(port: int) -> None:
    """A frame of 64 MB."""
    raw = RawSocket(port)
    with suppress(OSError):
        raw.send(TEXT, START.encode())
        raw.send(BINARY, bytes(64 * 2**20))
    raw.close()


def deaf(port: int, seconds: float = 3600.0) -> None:
    """Audio in real time, and not one message is read."""
    raw = RawSocket(port)
    end = time.monotonic() + seconds
    with suppress(OSError):
        raw.send(TEXT, START.encode())
        while time.monotonic() < end:
            raw.send(BINARY, os.urandom(4800))
            time.sleep(0.05)
    raw.close()


def _again(attack: Callable[[int], None], port: int) -> None:
    while True:
        with suppress(OSError, AssertionError):  # refused: it tries again
            attack(port)
        time.sleep(0.3)


if __name__ == "__main__":  # python -m tests.runtime.server.hostile PORT: until it is killed
    attacks = [
        threading.Thread(target=_again, args=(one, int(sys.argv[1]))) for one in (flood, garbage, huge, deaf)
    ]
    for attack in attacks:
        attack.start()
