"""Events and labels by MQTT, with the discovery messages of Home Assistant (extra ``mqtt``).

Topics, under ``tinyscene/NODE/``: ``availability`` (``online``, ``offline``), ``label`` and ``level``,
``class/NUMBER`` (``ON`` from the onset of an event of that class to its offset), all retained, and ``event``
(JSON, not retained). Discovery: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import deque
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from runtime.entry_point import require
from runtime.errors import ConfigError
from runtime.live.json_fields import event_ago_s, event_fields, utc
from runtime.live.live_loop import Ended, Item, LiveResult
from runtime.server.metrics import Metrics
from runtime.streaming.events import Event

_RETRY_S, _RETRY_MAX_S = 1.0, 60.0
_MAX_WAITING = 1000  # messages, while the broker is away; the oldest are dropped
_LEVEL_EVERY_S = 10.0
_PORT, _TLS_PORT = 1883, 8883


@dataclass(frozen=True)
class Broker:
    """Where to publish.

    Attributes:
        host: name or address of the broker.
        port: of the broker.
        user: None where it asks for none.
        password: of that user.
        tls: whether to speak TLS, with the certificates that this system trusts.

    Example:
        >>> Broker.parse("mqtt://me:secret@broker.local")
        Broker(host='broker.local', port=1883, user='me', tls=False)
    """

    host: str
    port: int
    user: str | None = None
    password: str | None = None
    tls: bool = False

    def __repr__(self) -> str:
        """Without the password."""
        return f"Broker(host={self.host!r}, port={self.port}, user={self.user!r}, tls={self.tls})"

    @classmethod
    def parse(cls, url: str) -> Broker:
        """Read ``mqtt://[USER:PASSWORD@]HOST[:PORT]`` or ``mqtts://...``.

        Raises:
            ConfigError: where it is anything else; the message does not repeat it.
        """
        refusal = ConfigError("--mqtt takes mqtt://[USER:PASSWORD@]HOST[:PORT], or mqtts:// for TLS.")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise refusal from None  # the ValueError may quote the password
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or port == 0 or parts.path.strip("/"):
            raise refusal
        tls = parts.scheme == "mqtts"
        user, password = (
            None if text is None else unquote(text) for text in (parts.username, parts.password)
        )
        return cls(parts.hostname, port or (_TLS_PORT if tls else _PORT), user, password, tls)


@dataclass(frozen=True)
class Publication:
    """One message to publish."""

    topic: str
    payload: str
    retain: bool = False


class Topics:
    """The topics of one node, and what Home Assistant is told about them.

    Args:
        node: name of this machine in topics.
        labels: of the model.
        prefix: of Home Assistant's discovery topics.

    Example:
        >>> topics = Topics("Garden Pi", ("dog", "rain"))
        >>> topics.of("label"), topics.of_class("rain")
        ('tinyscene/garden_pi/label', 'tinyscene/garden_pi/class/1')
    """

    def __init__(self, node: str, labels: tuple[str, ...], prefix: str = "homeassistant") -> None:
        self.node = re.sub(r"\W+", "_", node, flags=re.ASCII).strip("_").lower() or "box"
        self._name, self.labels, self._prefix = node, labels, prefix

    def of(self, name: str) -> str:
        """A topic of this node."""
        return f"tinyscene/{self.node}/{name}"

    def of_class(self, label: str) -> str:
        """The topic of a class; by its number, since a label may hold what a topic may not."""
        return self.of(f"class/{self.labels.index(label)}")

    def discovery(self) -> list[Publication]:
        """A sensor for the label, one for the level, and a binary sensor for every class."""
        sensors = [
            self._config("sensor", "label", {"name": "Label", "state_topic": self.of("label"),
                         "value_template": "{{ value_json.label }}",
                         "json_attributes_topic": self.of("label"), "icon": "mdi:ear-hearing"}),
            self._config("sensor", "level", {"name": "Level", "state_topic": self.of("level"),
                         "unit_of_measurement": "dBFS", "state_class": "measurement"}),
        ]  # fmt: skip
        for number, label in enumerate(self.labels):
            fields = {"name": label, "state_topic": self.of_class(label), "device_class": "sound"}
            sensors.append(self._config("binary_sensor", f"class_{number}", fields))
        return sensors

    def _config(self, kind: str, name: str, fields: dict[str, Any]) -> Publication:
        unique = f"tinyscene_{self.node}_{name}"
        device = {"identifiers": [f"tinyscene_{self.node}"], "name": self._name, "manufacturer": "tinyscene"}
        config = {
            **fields,
            "unique_id": unique,
            "availability_topic": self.of("availability"),
            "device": device,
        }
        return Publication(f"{self._prefix}/{kind}/{unique}/config", json.dumps(config), retain=True)


class Publisher:
    """Publishes the results of the server's own input; a broker that is away is tried again and again.

    Args:
        broker: where to.
        topics: of this node.
        metrics: say whether it is connected.

    Raises:
        MissingExtraError: where the extra is not installed.

    Example:
        >>> publisher = Publisher(Broker("localhost", 1883), Topics("box", ("dog",)), Metrics())
        >>> publisher.listen(Ended("mic", (Event("dog", "offset", 1.0, 2.0, 0.9),)))
    """

    def __init__(self, broker: Broker, topics: Topics, metrics: Metrics) -> None:
        self._aiomqtt = require("aiomqtt", extra="mqtt")
        self._broker, self._topics, self._metrics = broker, topics, metrics
        self._state: dict[str, str] = {topics.of_class(label): "OFF" for label in topics.labels}  # retained
        self._waiting: deque[Publication] = deque(maxlen=_MAX_WAITING)
        self._arrived = asyncio.Event()
        self._label, self._level_at = "", float("-inf")

    def listen(self, item: Item) -> None:
        """Take in a result of the input; called in the event loop."""
        if isinstance(item, LiveResult):
            self._put_window(item)
        if isinstance(item, LiveResult | Ended):
            for event in item.events:
                ago_s = event_ago_s(item, event) if isinstance(item, LiveResult) else 0.0
                self._put_event(event, ago_s)

    async def run(self) -> None:
        """Connect and publish until cancelled."""
        retry_s = _RETRY_S
        while True:
            try:
                async with self._client() as client:
                    print(f"publishing to the MQTT broker {self._broker.host}", file=sys.stderr, flush=True)
                    self._metrics.set("mqtt_connected", 1)
                    retry_s = _RETRY_S
                    await self._publish_all(client)
            except self._aiomqtt.MqttError as error:
                self._metrics.set("mqtt_connected", 0)
                print(
                    f"warning: no MQTT broker ({error}): next try in {retry_s:g} s",
                    file=sys.stderr,
                    flush=True,
                )
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, _RETRY_MAX_S)

    def _client(self) -> Any:
        broker, offline = (
            self._broker,
            self._aiomqtt.Will(self._topics.of("availability"), "offline", 1, True),
        )
        tls = self._aiomqtt.TLSParameters() if broker.tls else None
        return self._aiomqtt.Client(
            broker.host, broker.port, username=broker.user, password=broker.password, will=offline,
            tls_params=tls, identifier=f"tinyscene_{self._topics.node}",
        )  # fmt: skip

    async def _publish_all(self, client: Any) -> None:
        """First all that is retained, as the broker may have been restarted; then what comes."""
        online = Publication(self._topics.of("availability"), "online", retain=True)
        state = [Publication(topic, payload, retain=True) for topic, payload in self._state.items()]
        try:
            for publication in (*self._topics.discovery(), *state, online):
                await self._publish(client, publication)
            while True:
                while self._waiting:
                    await self._publish_oldest(client)
                self._arrived.clear()
                await self._arrived.wait()
        except asyncio.CancelledError:
            await self._publish(client, Publication(self._topics.of("availability"), "offline", retain=True))
            raise

    async def _publish_oldest(self, client: Any) -> None:
        """Publish the oldest that waits; it is taken out before, as others arrive and may displace it."""
        oldest = self._waiting.popleft()
        try:
            await self._publish(client, oldest)
        except self._aiomqtt.MqttError:
            if len(self._waiting) < _MAX_WAITING:
                self._waiting.appendleft(oldest)
            raise

    async def _publish(self, client: Any, publication: Publication) -> None:
        await client.publish(publication.topic, publication.payload, qos=1, retain=publication.retain)

    def _put_window(self, item: LiveResult) -> None:
        smoothed = item.smoothed
        label = smoothed.label or smoothed.state
        if label != self._label:
            self._label = label
            fields = {
                "label": label,
                "probability": smoothed.probability,
                "state": smoothed.state,
                "utc": utc(0),
            }
            self._put(Publication(self._topics.of("label"), json.dumps(fields), retain=True))
        if item.raw.end_s - self._level_at >= _LEVEL_EVERY_S or item.raw.end_s < self._level_at:
            self._level_at = item.raw.end_s
            level = f"{max(item.level_dbfs, -200.0):.1f}"
            self._put(Publication(self._topics.of("level"), level, retain=True))

    def _put_event(self, event: Event, ago_s: float) -> None:
        if event.label not in self._topics.labels:  # of a model that was chosen later
            return
        on = "ON" if event.end_s is None else "OFF"
        self._put(Publication(self._topics.of_class(event.label), on, retain=True))
        fields = event_fields(event, utc=utc(ago_s))
        self._put(Publication(self._topics.of("event"), json.dumps(fields)))

    def _put(self, publication: Publication) -> None:
        if publication.retain:
            self._state[publication.topic] = publication.payload
        self._waiting.append(publication)
        self._arrived.set()
