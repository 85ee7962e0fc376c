"""MQTT with a real mosquitto: what Home Assistant is told, and what happens while the broker is away."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.errors import ConfigError
from runtime.live.live_loop import LiveResult
from runtime.model.prediction import classified
from runtime.server.metrics import Metrics
from runtime.server.mqtt import Broker, Publication, Publisher, Topics
from runtime.streaming.events import Event
from tests.runtime.conftest import LABELS
from tests.runtime.server.conftest import Serve

aiomqtt = pytest.importorskip("aiomqtt", reason="the extra mqtt is not installed")

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


class Mosquitto:
    """A broker with a password, on a free port."""

    def __init__(self, folder: Path) -> None:
        if MOSQUITTO is None or shutil.which("mosquitto_passwd") is None:
            pytest.skip("mosquitto is not installed")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        passwords, self._config = folder / "passwords", folder / "mosquitto.conf"
        subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "me", "pass word"], check=True)
        self._config.write_text(f"listener {self.port} 127.0.0.1\npassword_file {passwords}\nuser root\n")
        self.url = f"mqtt://me:pass%20word@127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen([str(MOSQUITTO), "-c", self._config], stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("mosquitto does not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)

    def collect(self, until: re.Pattern[str], seconds: float = 40) -> dict[str, list[str]]:
        """Everything published, retained or new, until a topic and payload match."""
        return asyncio.run(asyncio.wait_for(self._collect(until), seconds))

    async def _collect(self, until: re.Pattern[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        client = aiomqtt.Client("127.0.0.1", self.port, username="me", password="pass word")
        async with client:
            await client.subscribe("#")
            async for message in client.messages:
                topic, payload = str(message.topic), message.payload.decode()
                found.setdefault(topic, []).append(payload)
                if until.search(f"{topic} {payload}"):
                    return found
        return found


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    yield broker
    broker.stop()


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """Noise for five seconds, then silence: an onset and an offset."""
    path = tmp_path / "noise.wav"
    noise = np.random.default_rng(0).normal(scale=0.1, size=5 * 32_000)
    soundfile.write(path, np.concatenate([noise, np.zeros(20 * 32_000)]), 32_000)
    return path


def test_home_assistant_sees_every_class_and_its_events(
    broker: Mosquitto, serve: Serve, model_path: Path, wav: Path
) -> None:
    broker.start()
    server = serve("--source", wav, "--model", model_path, "--mqtt", broker.url, "--mqtt-name", "Garden Pi")
    found = broker.collect(re.compile(r'^tinyscene/garden_pi/event .*"offset"'))
    assert "pass word" not in "".join(server.lines) and "pass%20word" not in "".join(server.lines)
    configs = {t: json.loads(p[-1]) for t, p in found.items() if t.startswith("homeassistant/")}
    assert len(configs) == 2 + len(LABELS)
    for topic, config in configs.items():
        _, kind, unique, last = topic.split("/")
        assert kind in ("sensor", "binary_sensor") and last == "config" and config["unique_id"] == unique
        assert config["device"]["name"] == "Garden Pi"
        assert config["availability_topic"] == "tinyscene/garden_pi/availability"
    classes = {c["name"]: c["state_topic"] for t, c in configs.items() if "/binary_sensor/" in t}
    assert set(classes) == set(LABELS)
    events = [json.loads(payload) for payload in found["tinyscene/garden_pi/event"]]
    assert events[0]["event"] == "onset" and events[-1]["event"] == "offset"
    assert found[classes[events[0]["label"]]][-2:] == ["ON", "OFF"]
    assert json.loads(found["tinyscene/garden_pi/label"][-1])["label"] in (*LABELS, "no_signal", "unknown")
    assert found["tinyscene/garden_pi/availability"][-1] == "online"
    server.process.kill()  # the broker says that it is gone: its last will
    assert broker.collect(re.compile("^tinyscene/garden_pi/availability offline"))


def test_a_broker_that_comes_late_and_is_restarted_gets_all_that_is_retained(
    broker: Mosquitto, serve: Serve, model_path: Path, wav: Path
) -> None:
    server = serve("--source", wav, "--model", model_path, "--mqtt", broker.url, "--mqtt-name", "box")
    broker.start()
    assert broker.collect(re.compile("^tinyscene/box/availability online"))
    broker.stop()
    broker.start()
    found = broker.collect(re.compile("^tinyscene/box/availability online"))
    assert sum(topic.startswith("homeassistant/") for topic in found) == 2 + len(LABELS)
    assert server.process.poll() is None
    assert server.stop() == 130
    assert broker.collect(re.compile("^tinyscene/box/availability offline"))  # an orderly end says so, too


def test_the_queue_for_a_broker_that_is_away_is_bounded() -> None:
    publisher = Publisher(Broker("localhost", 1), Topics("box", LABELS), Metrics())
    for number in range(5000):
        event = Event("dog", "onset", float(number), None, 0.9)
        window = classified(dict.fromkeys(LABELS, 0.25), float(number), number + 1.0)
        publisher.listen(LiveResult("mic", window, window, (event,), -20.0, 0.0, 0.0))
    assert len(publisher._waiting) == 1000


class FakeClient:
    """Takes messages; while the first numbered one is on its way, others arrive."""

    def __init__(self, publisher: Publisher, arriving: int, fails: bool = False) -> None:
        self.sent: list[str] = []
        self._publisher, self._arriving, self._fails = publisher, arriving, fails

    async def publish(self, topic: str, payload: str, **_: object) -> None:
        if topic == "number":
            for number in range(1000, 1000 + self._arriving):
                self._publisher._put(Publication("number", str(number)))
            self._arriving = 0
            if self._fails:
                raise aiomqtt.MqttError("gone")
            self.sent.append(payload)


def full_publisher() -> Publisher:
    publisher = Publisher(Broker("localhost", 1), Topics("box", LABELS), Metrics())
    for number in range(1000):
        publisher._put(Publication("number", str(number)))
    return publisher


def test_what_arrives_while_a_full_queue_is_published_displaces_nothing_that_has_room() -> None:
    async def publish() -> list[str]:
        client = FakeClient(publisher := full_publisher(), arriving=1)
        task = asyncio.create_task(publisher._publish_all(client))
        while publisher._waiting or len(client.sent) < 1000:
            await asyncio.sleep(0)
        task.cancel()
        return client.sent

    assert asyncio.run(publish()) == [str(number) for number in range(1001)]


@pytest.mark.parametrize(("arriving", "oldest"), [(0, "0"), (1, "1"), (3, "3")])
def test_what_could_not_be_published_waits_unless_the_queue_is_full(arriving: int, oldest: str) -> None:
    publisher = full_publisher()
    with pytest.raises(aiomqtt.MqttError):
        asyncio.run(publisher._publish_all(FakeClient(publisher, arriving, fails=True)))
    assert publisher._waiting[0].payload == oldest and len(publisher._waiting) == 1000


def test_topics_are_safe_whatever_the_names() -> None:
    topics = Topics("Küche/#+ \n", ("a/b", "#", "ü" * 300))
    assert topics.of_class("#") == "tinyscene/k_che/class/1"
    for publication in topics.discovery():
        assert re.fullmatch(r"[\w/]+", publication.topic, re.ASCII), publication.topic
        json.loads(publication.payload)
    assert Topics("#", ()).node == "box"


@pytest.mark.parametrize(
    "url",
    ["", "localhost", "http://localhost", "mqtt://", "mqtt://h:port", "mqtt://h:99999", "mqtt://h/topic",
     "mqtt://[::1"],
)  # fmt: skip
def test_a_wrong_url_is_one_sentence_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Broker.parse(url.replace("mqtt://", "mqtt://me:secret@"))
    assert "secret" not in str(raised.value)


def test_a_broker_shows_no_password() -> None:
    broker = Broker.parse("mqtts://me:s%2Fecret@broker")
    assert (broker.port, broker.tls, broker.password) == (8883, True, "s/ecret")
    assert "s/ecret" not in repr(broker)
